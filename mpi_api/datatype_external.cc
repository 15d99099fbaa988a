// mpi_api/datatype_external.cc - conversion to and from external32; see datatype_external.h.
#include "mpi_api/datatype_external.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cstdint>
#include <cstring>

#include "core/check.h"
#include "mpi_api/errors.h"

namespace tern::mpi {
namespace {

enum class Content : std::uint8_t { kBits, kSigned, kUnsigned, kLongDouble };

// One basic type in both representations: `parts` numbers (complex: two) of these sizes.
struct Format {
  Content content;
  std::size_t parts;
  std::size_t native_bytes;
  std::size_t external_bytes;
};

constexpr std::size_t kLongDoubleExternalBytes = 16;

Format format_of(const Datatype& type) {
  MPI_Datatype handle = to_handle(&type);
  const std::size_t size = type.layout().size();
  // The two kinds of number whose external size is not that of this machine.
  if (handle == MPI_LONG) return {Content::kSigned, 1, size, 4};
  if (handle == MPI_UNSIGNED_LONG) return {Content::kUnsigned, 1, size, 4};
  switch (type.basic()) {
    case Basic::kWchar:
      return {Content::kUnsigned, 1, size, 2};
    case Basic::kLongDouble:
      return {Content::kLongDouble, 1, size, kLongDoubleExternalBytes};
    case Basic::kComplexLongDouble:
      return {Content::kLongDouble, 2, size / 2, kLongDoubleExternalBytes};
    case Basic::kComplex32:
    case Basic::kComplex64:
    case Basic::kComplex128:
    case Basic::kComplexFloat128:
      return {Content::kBits, 2, size / 2, size / 2};
    default:
      return {Content::kBits, 1, size, size};
  }
}

const Datatype& type_of_tag(std::uint32_t tag) { return *static_cast<Datatype*>(to_object(tag)); }

// Between this machine's order and big-endian.
void copy_reversed(std::byte* to, const std::byte* from, std::size_t size) {
  if constexpr (std::endian::native == std::endian::little) {
    std::reverse_copy(from, from + size, to);
  } else {
    std::memcpy(to, from, size);
  }
}

template <std::size_t kBytes>
void swap_all(std::byte* to, const std::byte* from, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    copy_reversed(to + i * kBytes, from + i * kBytes, kBytes);
  }
}

void convert_bits(std::byte* to, const std::byte* from, std::size_t size, std::size_t count) {
  switch (size) {
    case 1:
      std::memcpy(to, from, count);
      return;
    case 2:
      return swap_all<2>(to, from, count);
    case 4:
      return swap_all<4>(to, from, count);
    case 8:
      return swap_all<8>(to, from, count);
    default:
      CHECK(size == 16);
      return swap_all<16>(to, from, count);
  }
}

// An integer of up to 8 bytes in this machine's order.
std::uint64_t load(const std::byte* from, std::size_t size, bool is_signed) {
  CHECK(size > 0 && size <= 8);
  std::uint64_t value = 0;
  std::byte bytes[8];
  copy_reversed(bytes, from, size);  // Now big-endian.
  for (std::size_t i = 0; i < size; ++i) value = value << 8 | static_cast<std::uint64_t>(bytes[i]);
  const unsigned unused = static_cast<unsigned>(64 - 8 * size);
  if (!is_signed) return value;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(value << unused) >> unused);
}

void store(std::byte* to, std::size_t size, std::uint64_t value) {
  std::byte bytes[8];
  for (std::size_t i = 0; i < size; ++i) {
    bytes[size - 1 - i] = static_cast<std::byte>(value >> (8 * i));
  }
  copy_reversed(to, bytes, size);
}

bool fits(std::uint64_t value, std::size_t size, bool is_signed) {
  if (size == 8) return true;
  const unsigned bits = static_cast<unsigned>(8 * size);
  if (!is_signed) return value >> bits == 0;
  const std::uint64_t sign = value >> (bits - 1);  // All equal to the sign bit.
  return sign == 0 || sign == ~std::uint64_t{0} >> (bits - 1);
}

// long double as IEEE binary128 in this machine's order.
void long_double_to_quad(const std::byte* from, std::byte* quad) {
#if LDBL_MANT_DIG == 113
  std::memcpy(quad, from, 16);
#else
  long double value = 0;
  std::memcpy(&value, from, sizeof value);
  const auto wide = static_cast<__float128>(value);
  std::memcpy(quad, &wide, 16);
#endif
}

void quad_to_long_double(const std::byte* quad, std::byte* to) {
#if LDBL_MANT_DIG == 113
  std::memcpy(to, quad, 16);
#else
  __float128 wide = 0;
  std::memcpy(&wide, quad, 16);
  const auto value = static_cast<long double>(wide);
  std::memset(to, 0, sizeof value);  // The padding of x87's ten bytes.
  std::memcpy(to, &value, LDBL_MANT_DIG == 64 ? 10 : sizeof value);
#endif
}

// Converts blocks of the typed layout one after the other. kWrites: to external32.
template <bool kWrites>
struct Converter {
  std::byte* external;
  int error = MPI_SUCCESS;

  static bool visit(void* context, std::uint32_t tag, std::byte* memory, std::size_t size) {
    return static_cast<Converter*>(context)->convert(type_of_tag(tag), memory, size);
  }

  bool convert(const Datatype& type, std::byte* memory, std::size_t size) {
    const Format format = format_of(type);
    const std::size_t count = size / format.native_bytes;
    switch (format.content) {
      case Content::kBits:
        convert_bits(kWrites ? external : memory, kWrites ? memory : external, format.native_bytes,
                     count);
        break;
      case Content::kLongDouble:
        for (std::size_t i = 0; i < count; ++i) convert_long_double(format, memory, i);
        break;
      default:
        for (std::size_t i = 0; i < count; ++i) {
          if (!convert_integer(type, format, memory, i)) return false;
        }
    }
    external += count * format.external_bytes;
    return true;
  }

  void convert_long_double(const Format& format, std::byte* memory, std::size_t i) {
    std::byte* const native = memory + i * format.native_bytes;
    std::byte* const foreign = external + i * format.external_bytes;
    std::byte quad[kLongDoubleExternalBytes];
    if constexpr (kWrites) {
      long_double_to_quad(native, quad);
      copy_reversed(foreign, quad, sizeof quad);
    } else {
      copy_reversed(quad, foreign, sizeof quad);
      quad_to_long_double(quad, native);
    }
  }

  bool convert_integer(const Datatype& type, const Format& format, std::byte* memory,
                       std::size_t i) {
    const bool is_signed = format.content == Content::kSigned;
    std::byte* const native = memory + i * format.native_bytes;
    std::byte* const foreign = external + i * format.external_bytes;
    std::byte ordered[8];
    if constexpr (kWrites) {
      const std::uint64_t value = load(native, format.native_bytes, is_signed);
      if (!fits(value, format.external_bytes, is_signed)) return refuse(type, value, is_signed);
      store(ordered, format.external_bytes, value);
      copy_reversed(foreign, ordered, format.external_bytes);
    } else {
      copy_reversed(ordered, foreign, format.external_bytes);
      store(native, format.native_bytes, load(ordered, format.external_bytes, is_signed));
    }
    return true;
  }

  bool refuse(const Datatype& type, std::uint64_t value, bool is_signed) {
    const char* const sentence =
        "inbuf has a value of {}, {}, that the {} bytes of such a number in external32 cannot hold";
    const std::size_t size = format_of(type).external_bytes;
    error =
        is_signed
            ? vfail(MPI_ERR_CONVERSION, sentence,
                    fmt::make_format_args(type.name, static_cast<std::int64_t>(value), size))
            : vfail(MPI_ERR_CONVERSION, sentence, fmt::make_format_args(type.name, value, size));
    return false;
  }
};

std::size_t external_size(const Shape& shape) {
  switch (shape.form) {
    case Shape::Form::kBlock: {
      const Format format = format_of(type_of_tag(shape.tag));
      return shape.size / format.native_bytes * format.external_bytes;
    }
    case Shape::Form::kMixed: {
      std::size_t sum = 0;
      for (const ShapePtr& child : shape.children) sum += external_size(*child);
      return sum;
    }
    default:
      return shape.size / shape.child->size * external_size(*shape.child);
  }
}

template <bool kWrites>
int convert_all(std::byte* external, const void* data, MPI_Count count, const Datatype& type) {
  Converter<kWrites> converter{external};
  const DataView view = DataView::of(data, type.typed(), static_cast<std::size_t>(count));
  visit_blocks(view, Converter<kWrites>::visit, &converter);
  return converter.error;
}

}  // namespace

std::size_t external_size(const Datatype& type) {
  const Placed& data = type.typed().data();
  return data.shape == nullptr ? 0 : external_size(*data.shape);
}

int write_external(const void* data, MPI_Count count, const Datatype& type, std::byte* external) {
  return convert_all<true>(external, data, count, type);
}

int read_external(const std::byte* external, void* data, MPI_Count count, const Datatype& type) {
  return convert_all<false>(const_cast<std::byte*>(external), data, count, type);
}

}  // namespace tern::mpi
