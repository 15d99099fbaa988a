// tests/mpi/typetree.h - random datatypes together with what the standard says that they are.
//
// A Typed is a datatype and its type map, expanded entry by entry from the definitions of MPI-5.0
// chapter 5 with plain loops. The trees use all constructors of MPI-3; where the library has the
// large-count ones (MPI 4.0) they are mixed in. Not thread-safe. Failure: EXPECT_OK counts.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <vector>

#include "check.h"

namespace typetree {

// A few in a thousand trees are beyond the other libraries, others for each: MPICH 4.0 misplaces
// bytes, Open MPI 4.1 merges blocks that it must not and pads oddly where data begins elsewhere
// than at the origin.
inline bool others_fail() { return check::library_is("MPICH") || check::library_is("Open MPI"); }

struct Basic {
  MPI_Datatype handle;
  int size;
};

inline const std::vector<Basic>& basics() {
  static const std::vector<Basic> list = {
      {MPI_CHAR, 1},    {MPI_BYTE, 1},   {MPI_SHORT, 2},     {MPI_INT, 4},
      {MPI_FLOAT, 4},   {MPI_DOUBLE, 8}, {MPI_LONG_LONG, 8}, {MPI_LONG_DOUBLE, 16},
      {MPI_UINT8_T, 1}, {MPI_INT64_T, 8}};
  return list;
}

// One entry of a type map: which basic type (index into basics()) lies where.
struct Entry {
  int basic;
  MPI_Aint at;
  int size() const { return basics()[basic].size; }
};

struct Typed {
  MPI_Datatype handle = MPI_DATATYPE_NULL;
  std::vector<Entry> map;
  MPI_Aint lb = 0;
  MPI_Aint ub = 0;
  bool marked = false;  // Resized, here or inside.
  bool empty = true;
  int alignment = 1;
  bool predefined = false;
  int depth = 0;

  MPI_Aint extent() const { return ub - lb; }
  int size() const {
    int sum = 0;
    for (const Entry& entry : map) sum += entry.size();
    return sum;
  }
  MPI_Aint true_lb() const {
    MPI_Aint low = map.empty() ? 0 : map[0].at;
    for (const Entry& entry : map) low = std::min(low, entry.at);
    return low;
  }
  MPI_Aint true_ub() const {
    MPI_Aint high = map.empty() ? 0 : map[0].at + map[0].size();
    for (const Entry& entry : map) high = std::max(high, entry.at + entry.size());
    return high;
  }
  void free() {
    if (!predefined && handle != MPI_DATATYPE_NULL) EXPECT_OK(MPI_Type_free(&handle));
  }
};

// Adds one copy of `part`, displaced, to the map and bounds of `to`.
inline void place(Typed& to, const Typed& part, MPI_Aint at) {
  for (const Entry& entry : part.map) to.map.push_back({entry.basic, entry.at + at});
  if (part.empty) return;
  if (to.empty || (part.marked && !to.marked)) {
    to.lb = part.lb + at;
    to.ub = part.ub + at;
    to.marked = part.marked;
  } else if (part.marked == to.marked) {
    to.lb = std::min(to.lb, part.lb + at);
    to.ub = std::max(to.ub, part.ub + at);
  }
  to.empty = false;
  to.alignment = std::max(to.alignment, part.alignment);
}

inline void place_run(Typed& to, const Typed& part, MPI_Aint at, MPI_Aint copies) {
  for (MPI_Aint i = 0; i < copies; ++i) place(to, part, at + i * part.extent());
}

// Section 5.1.7: bounds that nobody set are padded as a compiler pads a struct.
inline void finish(Typed& type, int depth) {
  type.depth = depth + 1;
  if (type.marked || type.empty) return;
  MPI_Aint beyond = type.extent() % type.alignment;
  if (beyond != 0) type.ub += type.alignment - beyond;
}

inline Typed basic(int index) {
  Typed type;
  type.handle = basics()[index].handle;
  type.map = {{index, 0}};
  type.ub = basics()[index].size;
  type.empty = false;
  type.alignment = basics()[index].size;
  type.predefined = true;
  return type;
}

class Forest {
 public:
  // entries_max bounds the length of type maps.
  explicit Forest(check::Random& random, int entries_max = 400)
      : random_(random), entries_max_(entries_max) {}

  // The caller frees it. committed: ready for communication.
  Typed tree(int depth, bool committed = true) {
    Typed type = grow(depth);
    if (type.predefined) {  // Always something derived.
      Typed derived = contiguous(type);
      type = derived;
    }
    if (committed) EXPECT_OK(MPI_Type_commit(&type.handle));
    return type;
  }

 private:
  Typed grow(int depth) {
    if (depth == 0) return basic(random_.below(static_cast<int>(basics().size())));
    Typed old = grow(random_.between(0, depth - 1));
    Typed made = derive(old);
    if (static_cast<int>(made.map.size()) > entries_max_) {
      made.free();
      return old;
    }
    old.free();  // What is made of it keeps it.
    return made;
  }

  Typed derive(const Typed& old) {
    switch (random_.below(11)) {
      case 0:
        return contiguous(old);
      case 1:
        return vector(old);
      case 2:
        return hvector(old);
      case 3:
        return indexed(old);
      case 4:
        return hindexed(old);
      case 5:
        return indexed_block(old);
      case 6:
        return hindexed_block(old);
      case 7:
        return structure(old);
      case 8:
        return resized(old);
      case 9:
        return subarray(old);
      default:
        return duplicate(old);
    }
  }

  bool large() { return MPI_AT_LEAST(4, 0) && random_.chance(40); }
  // Of nothing, every other library has its own idea.
  bool nothing() { return check::library_is_tern() && random_.chance(15); }
  int few() { return nothing() ? 0 : random_.between(1, 4); }
  // A distance in bytes that keeps alignment, so that all libraries agree on the padding.
  MPI_Aint far() { return 16 * random_.between(-12, 12); }

#if MPI_AT_LEAST(4, 0)
#define TYPETREE_CALL(Function, large_arguments, arguments) \
  EXPECT_OK(is_large ? Function##_c large_arguments : Function arguments)
#else
#define TYPETREE_CALL(Function, large_arguments, arguments) EXPECT_OK(Function arguments)
#endif
#if MPI_AT_LEAST(4, 0)
  using Counts = std::vector<MPI_Count>;
  template <typename T>
  static Counts wide(const std::vector<T>& list) {
    return Counts(list.begin(), list.end());
  }
#endif

  Typed contiguous(const Typed& old) {
    [[maybe_unused]] bool is_large = large();
    int count = few();
    Typed type;
    TYPETREE_CALL(MPI_Type_contiguous, (count, old.handle, &type.handle),
                  (count, old.handle, &type.handle));
    place_run(type, old, 0, count);
    finish(type, old.depth);
    return type;
  }

  Typed vector(const Typed& old) {
    [[maybe_unused]] bool is_large = large();
    int count = few(), length = few(), stride = random_.between(-6, 6);
    Typed type;
    TYPETREE_CALL(MPI_Type_vector, (count, length, stride, old.handle, &type.handle),
                  (count, length, stride, old.handle, &type.handle));
    for (int i = 0; i < count; ++i) place_run(type, old, i * stride * old.extent(), length);
    finish(type, old.depth);
    return type;
  }

  Typed hvector(const Typed& old) {
    [[maybe_unused]] bool is_large = large();
    int count = few(), length = few();
    MPI_Aint stride = far();
    Typed type;
    TYPETREE_CALL(MPI_Type_create_hvector, (count, length, stride, old.handle, &type.handle),
                  (count, length, stride, old.handle, &type.handle));
    for (int i = 0; i < count; ++i) place_run(type, old, i * stride, length);
    finish(type, old.depth);
    return type;
  }

  Typed indexed(const Typed& old) {
    [[maybe_unused]] bool is_large = large();
    int count = few();
    std::vector<int> lengths(count), places(count);
    Typed type;
    for (int i = 0; i < count; ++i) {
      lengths[i] = few();
      places[i] = random_.between(-6, 12);
      place_run(type, old, places[i] * old.extent(), lengths[i]);
    }
    TYPETREE_CALL(MPI_Type_indexed,
                  (count, wide(lengths).data(), wide(places).data(), old.handle, &type.handle),
                  (count, lengths.data(), places.data(), old.handle, &type.handle));
    finish(type, old.depth);
    return type;
  }

  Typed hindexed(const Typed& old) {
    [[maybe_unused]] bool is_large = large();
    int count = few();
    std::vector<int> lengths(count);
    std::vector<MPI_Aint> places(count);
    Typed type;
    for (int i = 0; i < count; ++i) {
      lengths[i] = few();
      places[i] = far();
      place_run(type, old, places[i], lengths[i]);
    }
    TYPETREE_CALL(MPI_Type_create_hindexed,
                  (count, wide(lengths).data(), wide(places).data(), old.handle, &type.handle),
                  (count, lengths.data(), places.data(), old.handle, &type.handle));
    finish(type, old.depth);
    return type;
  }

  Typed indexed_block(const Typed& old) {
    [[maybe_unused]] bool is_large = large();
    int count = few(), length = few();
    std::vector<int> places(count);
    Typed type;
    for (int& at : places) {
      at = random_.between(-6, 12);
      place_run(type, old, at * old.extent(), length);
    }
    TYPETREE_CALL(MPI_Type_create_indexed_block,
                  (count, length, wide(places).data(), old.handle, &type.handle),
                  (count, length, places.data(), old.handle, &type.handle));
    finish(type, old.depth);
    return type;
  }

  Typed hindexed_block(const Typed& old) {
    [[maybe_unused]] bool is_large = large();
    int count = few(), length = few();
    std::vector<MPI_Aint> places(count);
    Typed type;
    for (MPI_Aint& at : places) {
      at = far();
      place_run(type, old, at, length);
    }
    TYPETREE_CALL(MPI_Type_create_hindexed_block,
                  (count, length, wide(places).data(), old.handle, &type.handle),
                  (count, length, places.data(), old.handle, &type.handle));
    finish(type, old.depth);
    return type;
  }

  Typed structure(const Typed& old) {
    [[maybe_unused]] bool is_large = large();
    int count = random_.between(1, 4);
    std::vector<int> lengths(count);
    std::vector<MPI_Aint> places(count);
    std::vector<MPI_Datatype> handles(count);
    std::vector<Typed> parts(count);
    MPI_Aint at = far();
    Typed type;
    for (int i = 0; i < count; ++i) {
      // Of parts with set bounds and others, the ones with set bounds decide; MPICH 4.0 takes all.
      bool again = random_.chance(40) || (old.marked && check::library_is("MPICH"));
      parts[i] = again ? old : basic(random_.below(static_cast<int>(basics().size())));
      lengths[i] = few();
      places[i] = at;
      handles[i] = parts[i].handle;
      place_run(type, parts[i], at, lengths[i]);
      at += random_.chance(50) ? parts[i].extent() * lengths[i] : far();
    }
    TYPETREE_CALL(MPI_Type_create_struct,
                  (count, wide(lengths).data(), wide(places).data(), handles.data(), &type.handle),
                  (count, lengths.data(), places.data(), handles.data(), &type.handle));
    finish(type, old.depth);
    return type;
  }

  Typed resized(const Typed& old) {
    [[maybe_unused]] bool is_large = large();
    // Open MPI 4.1 misplaces elements that run backwards.
    MPI_Aint lb = far(), extent = 16 * random_.between(check::library_is_tern() ? -3 : 1, 8);
    Typed type;
    TYPETREE_CALL(MPI_Type_create_resized, (old.handle, lb, extent, &type.handle),
                  (old.handle, lb, extent, &type.handle));
    type.map = old.map;
    type.lb = lb;
    type.ub = lb + extent;
    type.marked = true;
    type.empty = false;
    type.alignment = old.alignment;
    finish(type, old.depth);
    return type;
  }

  Typed subarray(const Typed& old) {
    [[maybe_unused]] bool is_large = large();
    int dimensions = random_.between(1, 3);
    int order = random_.chance(50) ? MPI_ORDER_C : MPI_ORDER_FORTRAN;
    std::vector<int> sizes(dimensions), parts(dimensions), starts(dimensions);
    for (int i = 0; i < dimensions; ++i) {
      sizes[i] = random_.between(1, 4);
      parts[i] = random_.between(1, sizes[i]);
      starts[i] = random_.below(sizes[i] - parts[i] + 1);
    }
    Typed type;
    TYPETREE_CALL(
        MPI_Type_create_subarray,
        (dimensions, wide(sizes).data(), wide(parts).data(), wide(starts).data(), order, old.handle,
         &type.handle),
        (dimensions, sizes.data(), parts.data(), starts.data(), order, old.handle, &type.handle));
    // Row by row of the part, the last index (C) or the first one (Fortran) running fastest.
    int total = 1, whole = 1;
    for (int i = 0; i < dimensions; ++i) {
      total *= parts[i];
      whole *= sizes[i];
    }
    for (int number = 0; number < total; ++number) {
      int rest = number, at = 0, step = 1;
      for (int j = 0; j < dimensions; ++j) {
        int i = order == MPI_ORDER_C ? dimensions - 1 - j : j;
        at += (starts[i] + rest % parts[i]) * step;
        step *= sizes[i];
        rest /= parts[i];
      }
      place(type, old, at * old.extent());
    }
    type.lb = 0;
    type.ub = whole * old.extent();
    type.marked = true;
    type.empty = false;
    finish(type, old.depth);
    return type;
  }

  Typed duplicate(const Typed& old) {
    Typed type = old;
    type.predefined = false;
    EXPECT_OK(MPI_Type_dup(old.handle, &type.handle));
    ++type.depth;
    return type;
  }

  check::Random& random_;
  int entries_max_;
};

// Memory around an origin in which `count` elements of a type lie, all of it with known contents.
class Memory {
 public:
  Memory(const Typed& type, int count, std::uint64_t key) {
    MPI_Aint last = (count > 0 ? count - 1 : 0) * type.extent();
    MPI_Aint low = type.true_lb() + std::min<MPI_Aint>(0, last);
    MPI_Aint high = type.true_ub() + std::max<MPI_Aint>(0, last);
    before_ = 64 + std::max<MPI_Aint>(0, -low);
    bytes.resize(before_ + std::max<MPI_Aint>(0, high) + 64);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<unsigned char>(check::mix(key + i));
    }
  }
  unsigned char* origin() { return bytes.data() + before_; }
  unsigned char& at(MPI_Aint offset) { return bytes[before_ + offset]; }

  std::vector<unsigned char> bytes;

 private:
  MPI_Aint before_;
};

// The data bytes of a message in order, taken entry by entry.
inline std::vector<unsigned char> gather(const Typed& type, int count, Memory& memory) {
  std::vector<unsigned char> out;
  for (int element = 0; element < count; ++element) {
    for (const Entry& entry : type.map) {
      for (int i = 0; i < entry.size(); ++i) {
        out.push_back(memory.at(element * type.extent() + entry.at + i));
      }
    }
  }
  return out;
}

// The reverse, for the first `data.size()` bytes of the message.
inline void scatter(const Typed& type, int count, Memory& memory,
                    const std::vector<unsigned char>& data) {
  std::size_t next = 0;
  for (int element = 0; element < count; ++element) {
    for (const Entry& entry : type.map) {
      for (int i = 0; i < entry.size() && next < data.size(); ++i) {
        memory.at(element * type.extent() + entry.at + i) = data[next++];
      }
    }
  }
}

// Whether no byte of the message's memory is named twice: what a receive needs.
inline bool has_overlap(const Typed& type, int count) {
  std::vector<MPI_Aint> places;
  for (int element = 0; element < count; ++element) {
    for (const Entry& entry : type.map) {
      for (int i = 0; i < entry.size(); ++i) {
        places.push_back(element * type.extent() + entry.at + i);
      }
    }
  }
  std::sort(places.begin(), places.end());
  return std::adjacent_find(places.begin(), places.end()) != places.end();
}

}  // namespace typetree
