// spawn/heat_map.h - a picture of who talked to whom, over what and how much, as SVG.
//
// A square for each rank that sends (row) and each that receives (column): the hue is the fabric,
// its strength the number of bytes, on a logarithmic scale. With few ranks each square tells its
// numbers when the pointer rests on it; with many, squares of one colour are one shape, so that the
// file stays small. Pure. Failure: none; whatever the names of hosts, the text is valid XML.
#pragma once
#include <string>

#include "core/job_traffic.h"

namespace tern::spawn {

std::string draw_heat_map(const JobTraffic& traffic);

}  // namespace tern::spawn
