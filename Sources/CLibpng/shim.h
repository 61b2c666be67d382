// libpng: its simplified interface for writing, whose formats are macros that Swift does not see; and reading, which
// jumps out of the library where a file is damaged, as Swift cannot. The simplified interface would read faster, but
// changes values by a file's gamma, and 16-bit ones as if they were linear light.
#include <png.h>
#include <stdio.h>
#include <string.h>

static const png_uint_32 vd_png_gray = PNG_FORMAT_GRAY;
static const png_uint_32 vd_png_rgb = PNG_FORMAT_RGB;
static const png_uint_32 vd_png_version = PNG_IMAGE_VERSION;

typedef struct {
  png_uint_32 width, height;
  int has_color;     // of a palette, too
  char message[96];  // what is wrong, where something is
} vd_png_facts;

static inline void vd_png_fail(png_structp png, png_const_charp message) {
  vd_png_facts *facts = (vd_png_facts *)png_get_error_ptr(png);
  strncpy(facts->message, message, sizeof facts->message - 1);
  png_longjmp(png, 1);
}

static inline void vd_png_ignore(png_structp png, png_const_charp message) { (void)png, (void)message; }

// Reads a file's header and, where there is memory for them, its pixels as they are stored: 8 bits each, of 16 the
// nearest 8; `channels` 3 or, of grey, 1; what is transparent has the colour that it would have. Not 0 where the file is
// damaged, or has other extents than `memory_width` and `memory_height`.
static inline int vd_png_read(
    const char *path, vd_png_facts *facts, unsigned char *memory, int channels, png_uint_32 memory_width,
    png_uint_32 memory_height) {
  memset(facts, 0, sizeof *facts);
  FILE *file = fopen(path, "rb");
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, facts, vd_png_fail, vd_png_ignore);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  int failed = 1;
  if (!file || !info) {
    strcpy(facts->message, file ? "there is no memory for it" : "it cannot be opened");
  } else if (setjmp(png_jmpbuf(png)) == 0) {
    png_init_io(png, file);
    png_read_info(png, info);
    facts->width = png_get_image_width(png, info);
    facts->height = png_get_image_height(png, info);
    int type = png_get_color_type(png, info);
    facts->has_color = (type & PNG_COLOR_MASK_COLOR) != 0;
    if (memory && (facts->width != memory_width || facts->height != memory_height))
      png_error(png, "its size changed while it was read");
    if (memory) {
      png_set_expand(png);
      png_set_scale_16(png);
      png_set_strip_alpha(png);
      if (channels == 3) png_set_gray_to_rgb(png);
      int passes = png_set_interlace_handling(png);
      png_read_update_info(png, info);
      size_t row = (size_t)facts->width * (size_t)channels;
      if (png_get_rowbytes(png, info) != row) png_error(png, "its colours changed while it was read");
      for (int pass = 0; pass < passes; pass++)
        for (png_uint_32 y = 0; y < facts->height; y++) png_read_row(png, memory + y * row, NULL);
    }
    failed = 0;
  }
  if (png) png_destroy_read_struct(&png, info ? &info : NULL, NULL);
  if (file) fclose(file);
  return failed;
}
