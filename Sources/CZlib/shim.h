// zlib, for gzipped data files.
#include <zlib.h>
