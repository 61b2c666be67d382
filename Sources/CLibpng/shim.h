// libpng's simplified interface. Its formats are macros, which Swift does not see.
#include <png.h>
#include <string.h>

static const png_uint_32 vd_png_gray = PNG_FORMAT_GRAY;
static const png_uint_32 vd_png_rgb = PNG_FORMAT_RGB;
static const png_uint_32 vd_png_version = PNG_IMAGE_VERSION;
