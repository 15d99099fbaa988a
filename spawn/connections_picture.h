// spawn/connections_picture.h - mpiexec --report-connections FILE: has the ranks tell what they
// exchanged, and draws it when the job is over.
//
// Rank 0 writes what all ranks say (core/job_traffic.h) into a memory file of mpiexec's, which it
// finds by a path; nothing is left behind when either of them is killed. Failure: a Problem; what
// the job's exit code is does not change because there is nothing to draw.
#pragma once
#include <string>

#include "spawn/options.h"
#include "spawn/problem.h"

namespace tern::spawn {

class ConnectionsPicture {
 public:
  ConnectionsPicture() = default;
  ~ConnectionsPicture();
  ConnectionsPicture(const ConnectionsPicture&) = delete;
  ConnectionsPicture& operator=(const ConnectionsPicture&) = delete;

  // Before the ranks are prepared: makes sure that the picture can be written, and adds to their
  // environment where to tell. Nothing when no picture is asked for.
  Problem begin(JobPlan& plan);
  // After the job has ended.
  Problem finish();

 private:
  std::string path_;   // Empty: none is asked for.
  bool made_ = false;  // Before, there was no file of this name.
  bool drawn_ = false;
  int told_ = -1;  // The memory file.
};

}  // namespace tern::spawn
