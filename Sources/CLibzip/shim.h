// libzip, for NPZ files: ZIP archives of NPY files, of any size.
#include <zip.h>
