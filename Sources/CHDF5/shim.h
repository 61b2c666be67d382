// libhdf5, for arrays that are read and never written. Its constants are macros with casts and calls, which Swift does
// not see; what needs them stands here.
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

// Opens a file without a lock, which network file systems may refuse, and without words on standard error.
static inline hid_t vd_h5_open_file(const char *path) {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 10, 7) && !(H5_VERSION_GE(1, 12, 0) && !H5_VERSION_GE(1, 12, 1))
  H5Pset_file_locking(access, 0, 1);
#endif
  hid_t file = H5Fopen(path, H5F_ACC_RDONLY, access);
  H5Pclose(access);
  return file;
}

// A group or data set; negative where there is none.
static inline hid_t vd_h5_open(hid_t file, const char *name) {
  return H5Oopen(file, name, H5P_DEFAULT);
}

// A data set whose decompressed chunks stay in a cache of so many bytes.
static inline hid_t vd_h5_open_dataset(hid_t file, const char *name, size_t cache) {
  hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
  H5Pset_chunk_cache(access, 12421, cache, 0.75);
  hid_t dataset = H5Dopen2(file, name, access);
  H5Pclose(access);
  return dataset;
}

// The name of a group's link, cut to the buffer; its length, negative where it cannot be read.
static inline ssize_t vd_h5_link_name(hid_t group, hsize_t index, char *name, size_t size) {
  return H5Lget_name_by_idx(
      group, ".", H5_INDEX_NAME, H5_ITER_INC, index, name, size, H5P_DEFAULT);
}

// The number format of a type that NumPy has too: 0 to 10 as in vd_h5_formats, 16 more for the most significant byte
// first; -1 for others. h5py's booleans are enumerations of 8 bits.
static inline int vd_h5_format(hid_t type) {
  hid_t base = H5Tget_class(type) == H5T_ENUM ? H5Tget_super(type) : H5Tcopy(type);
  hid_t half[2];
  for (int big = 0; big < 2; big++) {
    half[big] = H5Tcopy(big ? H5T_IEEE_F32BE : H5T_IEEE_F32LE);
    H5Tset_fields(half[big], 15, 10, 5, 0, 10);
    H5Tset_size(half[big], 2);
    H5Tset_ebias(half[big], 15);
  }
  const hid_t formats[2][11] = {
      {H5T_STD_U8LE, H5T_STD_I8LE, H5T_STD_U16LE, H5T_STD_I16LE, H5T_STD_U32LE, H5T_STD_I32LE,
       H5T_STD_U64LE, H5T_STD_I64LE, half[0], H5T_IEEE_F32LE, H5T_IEEE_F64LE},
      {H5T_STD_U8BE, H5T_STD_I8BE, H5T_STD_U16BE, H5T_STD_I16BE, H5T_STD_U32BE, H5T_STD_I32BE,
       H5T_STD_U64BE, H5T_STD_I64BE, half[1], H5T_IEEE_F32BE, H5T_IEEE_F64BE},
  };
  int found = -1;
  for (int format = 0; format < 22 && found < 0; format++)
    if (H5Tequal(base, formats[format / 11][format % 11]) > 0)
      found = format % 11 + format / 11 * 16;
  H5Tclose(half[0]);
  H5Tclose(half[1]);
  H5Tclose(base);
  return found;
}

// Reads rows of a data set in its file's own format; 0 if all went well.
static inline int vd_h5_read(
    hid_t dataset, hid_t type, int axes, const hsize_t *start, const hsize_t *count, void *values) {
  hid_t file = H5Dget_space(dataset);
  hid_t memory = H5Screate_simple(axes, count, NULL);
  int failed = H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) < 0
               || H5Dread(dataset, type, memory, file, H5P_DEFAULT, values) < 0;
  H5Sclose(memory);
  H5Sclose(file);
  return failed;
}

// A text attribute, cut to the buffer; 0 if there is one.
static inline int vd_h5_text_attribute(hid_t object, const char *name, char *text, size_t size) {
  if (H5Aexists(object, name) <= 0) return -1;
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  hid_t type = H5Aget_type(attribute);
  int failed = 1;
  text[0] = 0;
  if (H5Tget_class(type) == H5T_STRING && H5Aget_storage_size(attribute) > 0) {
    if (H5Tis_variable_str(type) > 0) {
      char *words = NULL;
      hid_t space = H5Aget_space(attribute);
      failed = H5Sget_simple_extent_npoints(space) != 1 || H5Aread(attribute, type, &words) < 0;
      if (!failed && words) strncat(text, words, size - 1);
      if (words) H5free_memory(words);
      H5Sclose(space);
    } else {
      size_t length = (size_t)H5Aget_storage_size(attribute);
      char *words = (char *)calloc(length + 1, 1);
      failed = !words || H5Aread(attribute, type, words) < 0;
      if (!failed) strncat(text, words, size - 1);
      free(words);
    }
  }
  H5Tclose(type);
  H5Aclose(attribute);
  return failed;
}

// The texts of a data set of one axis, one behind the other with a 0 at the end of each, for free(); NULL where it
// holds none, more than `limit`, or two gigabytes of them; `count` says how many there are all the same.
static inline char *vd_h5_texts(hid_t file, const char *name, hsize_t limit, hsize_t *count, size_t *length) {
  hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
  if (dataset < 0) return NULL;
  hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
  char *texts = NULL;
  *count = *length = 0;
  int is_text = H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_ndims(space) == 1
                && H5Sget_simple_extent_dims(space, count, NULL) == 1 && *count > 0 && *count <= limit;
  if (is_text && H5Tis_variable_str(type) > 0) {
    char **words = (char **)calloc(*count, sizeof(char *));
    if (words && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, words) >= 0) {
      for (hsize_t i = 0; i < *count; i++) *length += (words[i] ? strlen(words[i]) : 0) + 1;
      char *end = texts = (char *)calloc(*length, 1);
      for (hsize_t i = 0; texts && i < *count; i++) {
        if (words[i]) end = stpcpy(end, words[i]);
        end++;
      }
      H5Dvlen_reclaim(type, space, H5P_DEFAULT, words);
    }
    free(words);
  } else if (is_text) {
    size_t size = H5Tget_size(type);
    char *words = size <= (1u << 31) / *count ? (char *)malloc(*count * size) : NULL;
    texts = words && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, words) >= 0
                ? (char *)calloc(*count, size + 1)
                : NULL;
    char *end = texts;
    for (hsize_t i = 0; texts && i < *count; i++) {
      size_t own = strnlen(words + i * size, size);
      memcpy(end, words + i * size, own);
      end += own + 1;
    }
    *length = texts ? (size_t)(end - texts) : 0;
    free(words);
  }
  H5Sclose(space);
  H5Tclose(type);
  H5Dclose(dataset);
  return texts;
}

// Two whole numbers of an attribute; 0 if there are two.
static inline int vd_h5_pair_attribute(hid_t object, const char *name, int64_t pair[2]) {
  if (H5Aexists(object, name) <= 0) return -1;
  hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  hid_t space = H5Aget_space(attribute);
  hid_t type = H5Aget_type(attribute);
  int failed = H5Tget_class(type) != H5T_INTEGER || H5Sget_simple_extent_npoints(space) != 2
               || H5Aread(attribute, H5T_NATIVE_INT64, pair) < 0;
  H5Tclose(type);
  H5Sclose(space);
  H5Aclose(attribute);
  return failed;
}
