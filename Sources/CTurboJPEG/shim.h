// libjpeg-turbo, for folders of JPEG images. Swift sees its enumerations and functions.
#include <turbojpeg.h>
