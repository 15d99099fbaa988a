// mpi_api/op_kernels.cc - the inner loops of the predefined operations.
//
// One template per operation, one plain loop each, which the compiler vectorises. Which operation
// is legal for which element follows from the three tables at the end (MPI-5.0 section 6.9.2).
// Arithmetic on signed integers wraps around, as users of other MPIs are used to.
#include <cstdint>
#include <type_traits>

#include "mpi_api/op.h"

namespace tern::mpi {
namespace {

template <class T>
struct Complex {
  T real;
  T imaginary;
};

// Where T is an integer, the unsigned type that T's arithmetic is done in: it wraps around without
// undefined behaviour, and small types do not meet int's promotion on the way.
template <class T>
struct Unsigned {
  using Type = std::conditional_t<sizeof(T) <= sizeof(unsigned), unsigned, std::uint64_t>;
};
#ifdef __SIZEOF_INT128__
__extension__ using Int128 = __int128;
__extension__ using Uint128 = unsigned __int128;
template <>
struct Unsigned<Int128> {
  using Type = Uint128;
};
#endif

struct Sum {
  template <class T>
  static T apply(T a, T b) {
    if constexpr (static_cast<T>(0.5) == 0) {
      using Wide = typename Unsigned<T>::Type;
      return static_cast<T>(static_cast<Wide>(a) + static_cast<Wide>(b));
    } else {
      return static_cast<T>(a + b);
    }
  }
  template <class T>
  static Complex<T> apply(Complex<T> a, Complex<T> b) {
    return {static_cast<T>(a.real + b.real), static_cast<T>(a.imaginary + b.imaginary)};
  }
};

struct Product {
  template <class T>
  static T apply(T a, T b) {
    if constexpr (static_cast<T>(0.5) == 0) {
      using Wide = typename Unsigned<T>::Type;
      return static_cast<T>(static_cast<Wide>(a) * static_cast<Wide>(b));
    } else {
      return static_cast<T>(a * b);
    }
  }
  template <class T>
  static Complex<T> apply(Complex<T> a, Complex<T> b) {
    return {static_cast<T>(a.real * b.real - a.imaginary * b.imaginary),
            static_cast<T>(a.real * b.imaginary + a.imaginary * b.real)};
  }
};

struct Minimum {
  template <class T>
  static T apply(T a, T b) {
    return a < b ? a : b;
  }
};
struct Maximum {
  template <class T>
  static T apply(T a, T b) {
    return a > b ? a : b;
  }
};

struct BitAnd {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(a & b);
  }
};
struct BitOr {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(a | b);
  }
};
struct BitXor {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(a ^ b);
  }
};

// Results are 0 and 1, which are also gfortran's .FALSE. and .TRUE.
struct LogicalAnd {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>((a != 0) & (b != 0));
  }
};
struct LogicalOr {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>((a != 0) | (b != 0));
  }
};
struct LogicalXor {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>((a != 0) != (b != 0));
  }
};

template <class Value, class Index>
struct Located {
  Value value;
  Index index;
};

struct Less {
  template <class T>
  static bool apply(T a, T b) {
    return a < b;
  }
};
struct Greater {
  template <class T>
  static bool apply(T a, T b) {
    return a > b;
  }
};

template <class Operation, class T>
void loop(const void* in, void* inout, std::size_t count) {
  const T* __restrict from = static_cast<const T*>(in);
  T* __restrict to = static_cast<T*>(inout);
  for (std::size_t i = 0; i < count; ++i) to[i] = Operation::apply(from[i], to[i]);
}

// Of two pairs the one whose value is First; the lower index among equal values. The memory between
// value and index is the user's.
template <class First, class Value, class Index>
void location_loop(const void* in, void* inout, std::size_t count) {
  using Pair = Located<Value, Index>;
  const Pair* __restrict from = static_cast<const Pair*>(in);
  Pair* __restrict to = static_cast<Pair*>(inout);
  for (std::size_t i = 0; i < count; ++i) {
    // Not whole pairs: the memory behind the last index may be nobody's.
    const Value value_a = from[i].value, value_b = to[i].value;
    const Index index_a = from[i].index, index_b = to[i].index;
    const bool take = First::apply(value_a, value_b) || (value_a == value_b && index_a < index_b);
    to[i].value = take ? value_a : value_b;
    to[i].index = take ? index_a : index_b;
  }
}

template <class T>
Kernel integer_kernel(OpKind kind) {
  switch (kind) {
    case OpKind::kSum:
      return loop<Sum, T>;
    case OpKind::kMin:
      return loop<Minimum, T>;
    case OpKind::kMax:
      return loop<Maximum, T>;
    case OpKind::kProd:
      return loop<Product, T>;
    case OpKind::kBand:
      return loop<BitAnd, T>;
    case OpKind::kBor:
      return loop<BitOr, T>;
    case OpKind::kBxor:
      return loop<BitXor, T>;
    case OpKind::kLand:
      return loop<LogicalAnd, T>;
    case OpKind::kLor:
      return loop<LogicalOr, T>;
    case OpKind::kLxor:
      return loop<LogicalXor, T>;
    default:
      return nullptr;
  }
}

template <class T>
Kernel float_kernel(OpKind kind) {
  switch (kind) {
    case OpKind::kSum:
      return loop<Sum, T>;
    case OpKind::kMin:
      return loop<Minimum, T>;
    case OpKind::kMax:
      return loop<Maximum, T>;
    case OpKind::kProd:
      return loop<Product, T>;
    default:
      return nullptr;
  }
}

template <class T>
Kernel complex_kernel(OpKind kind) {
  switch (kind) {
    case OpKind::kSum:
      return loop<Sum, Complex<T>>;
    case OpKind::kProd:
      return loop<Product, Complex<T>>;
    default:
      return nullptr;
  }
}

template <class T>
Kernel logical_kernel(OpKind kind) {
  switch (kind) {
    case OpKind::kLand:
      return loop<LogicalAnd, T>;
    case OpKind::kLor:
      return loop<LogicalOr, T>;
    case OpKind::kLxor:
      return loop<LogicalXor, T>;
    default:
      return nullptr;
  }
}

template <class T>
Kernel bits_kernel(OpKind kind) {
  switch (kind) {
    case OpKind::kBand:
      return loop<BitAnd, T>;
    case OpKind::kBor:
      return loop<BitOr, T>;
    case OpKind::kBxor:
      return loop<BitXor, T>;
    default:
      return nullptr;
  }
}

template <class Value, class Index>
Kernel location_kernel(OpKind kind) {
  switch (kind) {
    case OpKind::kMinloc:
      return location_loop<Less, Value, Index>;
    case OpKind::kMaxloc:
      return location_loop<Greater, Value, Index>;
    default:
      return nullptr;
  }
}

Kernel number_kernel(OpKind kind, Basic basic) {
  switch (basic) {
    case Basic::kInt8:
      return integer_kernel<std::int8_t>(kind);
    case Basic::kInt16:
      return integer_kernel<std::int16_t>(kind);
    case Basic::kInt32:
      return integer_kernel<std::int32_t>(kind);
    case Basic::kInt64:
      return integer_kernel<std::int64_t>(kind);
    case Basic::kUint8:
      return integer_kernel<std::uint8_t>(kind);
    case Basic::kUint16:
      return integer_kernel<std::uint16_t>(kind);
    case Basic::kUint32:
      return integer_kernel<std::uint32_t>(kind);
    case Basic::kUint64:
      return integer_kernel<std::uint64_t>(kind);
    case Basic::kFloat32:
      return float_kernel<float>(kind);
    case Basic::kFloat64:
      return float_kernel<double>(kind);
    case Basic::kLongDouble:
      return float_kernel<long double>(kind);
    case Basic::kComplex64:
      return complex_kernel<float>(kind);
    case Basic::kComplex128:
      return complex_kernel<double>(kind);
    case Basic::kComplexLongDouble:
      return complex_kernel<long double>(kind);
#ifdef __SIZEOF_INT128__
    case Basic::kInt128:
      return integer_kernel<Int128>(kind);
#endif
#ifdef __FLT16_MANT_DIG__
    case Basic::kFloat16:
      return float_kernel<_Float16>(kind);
    case Basic::kComplex32:
      return complex_kernel<_Float16>(kind);
#endif
#ifdef __SIZEOF_FLOAT128__
    case Basic::kFloat128:
      return float_kernel<__float128>(kind);
    case Basic::kComplexFloat128:
      return complex_kernel<__float128>(kind);
#endif
    default:
      return nullptr;
  }
}

}  // namespace

Kernel find_kernel(OpKind kind, Basic basic) {
  switch (basic) {
    case Basic::kBool8:
    case Basic::kLogical8:
      return logical_kernel<std::int8_t>(kind);
    case Basic::kLogical16:
      return logical_kernel<std::int16_t>(kind);
    case Basic::kLogical32:
      return logical_kernel<std::int32_t>(kind);
    case Basic::kLogical64:
      return logical_kernel<std::int64_t>(kind);
#ifdef __SIZEOF_INT128__
    case Basic::kLogical128:
      return logical_kernel<Int128>(kind);
#endif
    case Basic::kByte:
      return bits_kernel<std::uint8_t>(kind);
    case Basic::kFloatInt:
      return location_kernel<float, int>(kind);
    case Basic::kDoubleInt:
      return location_kernel<double, int>(kind);
    case Basic::kLongInt:
      return location_kernel<long, int>(kind);
    case Basic::kIntInt:
      return location_kernel<int, int>(kind);
    case Basic::kShortInt:
      return location_kernel<short, int>(kind);
    case Basic::kLongDoubleInt:
      return location_kernel<long double, int>(kind);
    case Basic::kPairFloat32:
      return location_kernel<float, float>(kind);
    case Basic::kPairFloat64:
      return location_kernel<double, double>(kind);
    case Basic::kPairInt32:
      return location_kernel<std::int32_t, std::int32_t>(kind);
    default:
      return number_kernel(kind, basic);
  }
}

}  // namespace tern::mpi
