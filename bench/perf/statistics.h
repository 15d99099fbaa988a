// bench/perf/statistics.h - order statistics of a handful of figures.
//
// Pure functions, no MPI. Preconditions are the callers': no sample set is empty.
#pragma once

#include <span>
#include <vector>

namespace tern::perf {

// The value below which `fraction` (0 to 1) of the samples lie, interpolated between neighbours.
// 0 gives the smallest, 0.5 the median, 1 the largest. Precondition: `sorted` is ascending and not
// empty.
double quantile(std::span<const double> sorted, double fraction);

double median(std::vector<double> samples);

}  // namespace tern::perf
