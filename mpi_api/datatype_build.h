// mpi_api/datatype_build.h - from a constructor's arguments to the data and bounds of a datatype.
//
// Pure: no datatype is changed. Threading: under the entry lock (old types may make their typed
// layout). Failure: what does not fit is told by `problem`; throws bad_alloc.
#pragma once
#include "mpi_api/datatype.h"

namespace tern::mpi {

struct Built {
  Placed data;
  std::ptrdiff_t lower_bound = 0;
  std::ptrdiff_t upper_bound = 0;
  BoundsTraits traits{false, true, 1};
  ShapeBuilder::Problem problem = ShapeBuilder::Problem::kNone;
};

// The arguments are known to be right (counts not negative, arrays of the right length, and so on).
// typed: with the old types' typed layouts; else with those that move bytes.
Built build(const Recipe& recipe, bool typed);

}  // namespace tern::mpi
