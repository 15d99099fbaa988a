// tests/mpi/reduction.h - all predefined types and operations with a reference of their own.
//
// Each type knows how to draw values, apply an operation and compare. Values are small integers
// (also in floating point), so that sums and products are exact and independent of the order of
// evaluation: results are compared for equality. Not thread-safe.
#pragma once

#include <complex>
#include <functional>

#include "buffer.h"

namespace check {

enum class Kind { kInteger, kFloat, kLogical, kComplex, kByte, kMultiLanguage, kPair };

struct Operation {
  const char* name;
  MPI_Op handle;
};

struct ReductionType {
  const char* name;
  MPI_Datatype handle;
  std::size_t extent;
  Kind kind;
  std::function<void(Random&, int operation, void*)> draw;                // One value.
  std::function<void(int operation, const void* in, void* inout)> apply;  // inout = in op inout
  std::function<bool(const void*, const void*)> same;
};

enum {
  kSum,
  kProd,
  kMin,
  kMax,
  kLand,
  kLor,
  kLxor,
  kBand,
  kBor,
  kBxor,
  kMinloc,
  kMaxloc,
  kOperations
};

inline const Operation& operation(int index) {
  static const Operation list[kOperations] = {
      {"MPI_SUM", MPI_SUM},   {"MPI_PROD", MPI_PROD},     {"MPI_MIN", MPI_MIN},
      {"MPI_MAX", MPI_MAX},   {"MPI_LAND", MPI_LAND},     {"MPI_LOR", MPI_LOR},
      {"MPI_LXOR", MPI_LXOR}, {"MPI_BAND", MPI_BAND},     {"MPI_BOR", MPI_BOR},
      {"MPI_BXOR", MPI_BXOR}, {"MPI_MINLOC", MPI_MINLOC}, {"MPI_MAXLOC", MPI_MAXLOC}};
  return list[index];
}

// Table 6.? of the standard: which operation is defined for which kind of type.
inline bool allowed(Kind kind, int op) {
  bool arithmetic = op == kSum || op == kProd, order = op == kMin || op == kMax;
  bool logical = op >= kLand && op <= kLxor, bits = op >= kBand && op <= kBxor;
  switch (kind) {
    case Kind::kInteger:
      return arithmetic || order || logical || bits;
    case Kind::kMultiLanguage:
      return arithmetic || order || bits || (logical && library_is_tern());  // A favour of ours.
    case Kind::kFloat:
      return arithmetic || order;
    case Kind::kLogical:
      return logical;
    case Kind::kComplex:
      return arithmetic;
    case Kind::kByte:
      return bits;
    case Kind::kPair:
      return op == kMinloc || op == kMaxloc;
  }
  return false;
}

template <typename T>
void draw_number(Random& random, int op, void* to, bool is_integer) {
  int low = std::is_unsigned_v<T> ? 0 : -3, high = 4;
  T value;
  if (op == kProd) {
    value = static_cast<T>(random.chance(60) ? 1 : 2);  // At most 2^7.
  } else if (is_integer && op >= kBand && op <= kBxor) {
    value = static_cast<T>(random.next());  // All bits.
  } else if (op >= kLand && op <= kLxor) {
    value = static_cast<T>(random.chance(60) ? 0 : random.between(1, 3));  // Any non-zero is true.
  } else {
    value = static_cast<T>(random.between(low, high));
  }
  std::memcpy(to, &value, sizeof value);
}

template <typename T>
T combine(int op, T in, T inout) {
  switch (op) {
    case kSum:
      return static_cast<T>(in + inout);
    case kProd:
      return static_cast<T>(in * inout);
    case kMin:
      return inout < in ? inout : in;
    case kMax:
      return inout > in ? inout : in;
    case kLand:
      return static_cast<T>(in && inout);
    case kLor:
      return static_cast<T>(in || inout);
    case kLxor:
      return static_cast<T>(!in != !inout);
  }
  if constexpr (std::is_integral_v<T>) {
    if (op == kBand) return static_cast<T>(in & inout);
    if (op == kBor) return static_cast<T>(in | inout);
    if (op == kBxor) return static_cast<T>(in ^ inout);
  }
  return inout;
}

template <typename T>
T load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
ReductionType number(const char* name, MPI_Datatype handle, Kind kind) {
  return {name,
          handle,
          sizeof(T),
          kind,
          [kind](Random& random, int op, void* to) {
            if constexpr (std::is_same_v<T, bool>) {
              bool value = random.chance(50);
              std::memcpy(to, &value, 1);
            } else {
              draw_number<T>(random, kind == Kind::kLogical ? int(kLand) : op, to,
                             kind != Kind::kFloat);
            }
          },
          [](int op, const void* in, void* inout) {
            T result = combine<T>(op, load<T>(in), load<T>(inout));
            std::memcpy(inout, &result, sizeof result);
          },
          [](const void* a, const void* b) { return load<T>(a) == load<T>(b); }};
}

template <typename T>
ReductionType complex_number(const char* name, MPI_Datatype handle) {
  using Complex = std::complex<T>;
  return {name,
          handle,
          sizeof(Complex),
          Kind::kComplex,
          [](Random& random, int op, void* to) {
            // Units and small Gaussian integers: products of seven stay exact.
            Complex value(static_cast<T>(random.between(-1, 1)),
                          static_cast<T>(random.between(-1, 1)));
            if (op == kProd && value == Complex()) value = Complex(1, 1);
            std::memcpy(to, &value, sizeof value);
          },
          [](int op, const void* in, void* inout) {
            Complex a = load<Complex>(in), b = load<Complex>(inout);
            Complex result = op == kSum ? a + b
                                        : Complex(a.real() * b.real() - a.imag() * b.imag(),
                                                  a.real() * b.imag() + a.imag() * b.real());
            std::memcpy(inout, &result, sizeof result);
          },
          [](const void* a, const void* b) { return load<Complex>(a) == load<Complex>(b); }};
}

template <typename V, typename I = int>
struct ValueIndex {
  V value;
  I index;
};

template <typename V, typename I = int>
ReductionType pair_of(const char* name, MPI_Datatype handle) {
  using Pair = ValueIndex<V, I>;
  return {name,
          handle,
          sizeof(Pair),
          Kind::kPair,
          [](Random& random, int, void* to) {
            Pair value;
            std::memset(&value, 0x5A, sizeof value);             // Padding is nobody's business.
            value.value = static_cast<V>(random.between(0, 4));  // Ties are what it is about.
            value.index = static_cast<I>(random.below(50));
            std::memcpy(to, &value, sizeof value);
          },
          [](int op, const void* in, void* inout) {
            Pair a = load<Pair>(in), b = load<Pair>(inout);
            bool first = op == kMinloc ? a.value < b.value : a.value > b.value;
            if (a.value == b.value) first = a.index < b.index;
            const Pair& result = first ? a : b;
            std::memcpy(inout, &result, sizeof result);
          },
          [](const void* a, const void* b) {
            Pair x = load<Pair>(a), y = load<Pair>(b);
            return x.value == y.value && x.index == y.index;
          }};
}

#define TERN_NUMBER(type, c, kind) number<c>(#type, type, Kind::kind)
#define TERN_COMPLEX(type, c) complex_number<c>(#type, type)
inline const std::vector<ReductionType>& reduction_types() {
  static const std::vector<ReductionType> all = [] {
    std::vector<ReductionType> list = {
        TERN_NUMBER(MPI_SIGNED_CHAR, signed char, kInteger),
        TERN_NUMBER(MPI_UNSIGNED_CHAR, unsigned char, kInteger),
        TERN_NUMBER(MPI_SHORT, short, kInteger),
        TERN_NUMBER(MPI_UNSIGNED_SHORT, unsigned short, kInteger),
        TERN_NUMBER(MPI_INT, int, kInteger),
        TERN_NUMBER(MPI_UNSIGNED, unsigned, kInteger),
        TERN_NUMBER(MPI_LONG, long, kInteger),
        TERN_NUMBER(MPI_UNSIGNED_LONG, unsigned long, kInteger),
        TERN_NUMBER(MPI_LONG_LONG, long long, kInteger),
        TERN_NUMBER(MPI_UNSIGNED_LONG_LONG, unsigned long long, kInteger),
        TERN_NUMBER(MPI_INT8_T, std::int8_t, kInteger),
        TERN_NUMBER(MPI_INT16_T, std::int16_t, kInteger),
        TERN_NUMBER(MPI_INT32_T, std::int32_t, kInteger),
        TERN_NUMBER(MPI_INT64_T, std::int64_t, kInteger),
        TERN_NUMBER(MPI_UINT8_T, std::uint8_t, kInteger),
        TERN_NUMBER(MPI_UINT16_T, std::uint16_t, kInteger),
        TERN_NUMBER(MPI_UINT32_T, std::uint32_t, kInteger),
        TERN_NUMBER(MPI_UINT64_T, std::uint64_t, kInteger),
        TERN_NUMBER(MPI_INTEGER, int, kMultiLanguage),
        TERN_NUMBER(MPI_INTEGER1, signed char, kMultiLanguage),
        TERN_NUMBER(MPI_INTEGER2, short, kMultiLanguage),
        TERN_NUMBER(MPI_INTEGER4, int, kMultiLanguage),
        TERN_NUMBER(MPI_INTEGER8, long, kMultiLanguage),
        TERN_NUMBER(MPI_AINT, MPI_Aint, kMultiLanguage),
        TERN_NUMBER(MPI_COUNT, MPI_Count, kMultiLanguage),
        TERN_NUMBER(MPI_OFFSET, MPI_Offset, kMultiLanguage),
        TERN_NUMBER(MPI_FLOAT, float, kFloat),
        TERN_NUMBER(MPI_DOUBLE, double, kFloat),
        TERN_NUMBER(MPI_LONG_DOUBLE, long double, kFloat),
        TERN_NUMBER(MPI_REAL, float, kFloat),
        TERN_NUMBER(MPI_DOUBLE_PRECISION, double, kFloat),
        TERN_NUMBER(MPI_REAL4, float, kFloat),
        TERN_NUMBER(MPI_REAL8, double, kFloat),
        TERN_NUMBER(MPI_C_BOOL, bool, kLogical),
        TERN_NUMBER(MPI_CXX_BOOL, bool, kLogical),
        TERN_NUMBER(MPI_BYTE, unsigned char, kByte),
        TERN_COMPLEX(MPI_C_FLOAT_COMPLEX, float),
        TERN_COMPLEX(MPI_C_DOUBLE_COMPLEX, double),
        TERN_COMPLEX(MPI_C_LONG_DOUBLE_COMPLEX, long double),
        TERN_COMPLEX(MPI_CXX_FLOAT_COMPLEX, float),
        TERN_COMPLEX(MPI_CXX_DOUBLE_COMPLEX, double),
        TERN_COMPLEX(MPI_CXX_LONG_DOUBLE_COMPLEX, long double),
        TERN_COMPLEX(MPI_COMPLEX, float),
        TERN_COMPLEX(MPI_DOUBLE_COMPLEX, double),
        TERN_COMPLEX(MPI_COMPLEX8, float),
        TERN_COMPLEX(MPI_COMPLEX16, double),
        pair_of<float>("MPI_FLOAT_INT", MPI_FLOAT_INT),
        pair_of<double>("MPI_DOUBLE_INT", MPI_DOUBLE_INT),
        pair_of<long>("MPI_LONG_INT", MPI_LONG_INT),
        pair_of<int>("MPI_2INT", MPI_2INT),
        pair_of<short>("MPI_SHORT_INT", MPI_SHORT_INT),
        pair_of<long double>("MPI_LONG_DOUBLE_INT", MPI_LONG_DOUBLE_INT),
        pair_of<int>("MPI_2INTEGER", MPI_2INTEGER),
        pair_of<float, float>("MPI_2REAL", MPI_2REAL),
        pair_of<double, double>("MPI_2DOUBLE_PRECISION", MPI_2DOUBLE_PRECISION)};
    return list;
  }();
  return all;
}

// `count` values that world rank `rank` contributes to the reduction called `id`.
inline std::vector<unsigned char> contribution(const ReductionType& type, int op, int count, int id,
                                               int rank) {
  std::vector<unsigned char> values(type.extent * (count + 1));
  Random random(900, id, rank);
  for (int i = 0; i < count; ++i) type.draw(random, op, values.data() + type.extent * i);
  return values;
}

// v[0] op v[1] op ... op v[n-1] over the given ranks, in their order.
inline std::vector<unsigned char> reduce_reference(const ReductionType& type, int op, int count,
                                                   int id, const std::vector<int>& ranks) {
  auto result = contribution(type, op, count, id, ranks.back());
  for (std::size_t r = ranks.size() - 1; r-- > 0;) {
    auto left = contribution(type, op, count, id, ranks[r]);
    for (int i = 0; i < count; ++i) {
      type.apply(op, left.data() + type.extent * i, result.data() + type.extent * i);
    }
  }
  return result;
}

// Compares `count` results starting at element `first` of the reference.
inline bool expect_reduced(const ReductionType& type, int op, const void* actual,
                           const std::vector<unsigned char>& expected, int first, int count,
                           const char* what) {
  const auto* bytes = static_cast<const unsigned char*>(actual);
  for (int i = 0; i < count; ++i) {
    if (!type.same(bytes + type.extent * i, expected.data() + type.extent * (first + i))) {
      return EXPECT_MSG(false, "%s %s %s: element %d of %d is wrong", what, type.name,
                        operation(op).name, i, count);
    }
  }
  return EXPECT_MSG(true, "unused");
}

}  // namespace check
