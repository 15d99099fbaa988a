// spawn/output_relay.h - where the output of the ranks goes.
//
// Without any output option there is nothing to do: ranks inherit mpiexec's own descriptors, so
// that every byte arrives at once, in order, and a terminal is a terminal to them. With labels,
// files or time stamps the output passes through pipes and this relay. Labelled lines are whole.
// Threading: one thread. Memory: bounded; a destination that stands still stops the ranks' pipes.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "spawn/event_loop.h"
#include "spawn/output_sink.h"
#include "spawn/problem.h"

namespace tern::spawn {

struct OutputWish {
  enum class Label { kNone, kRank, kJobRank };
  Label label = Label::kNone;  // "[0] ", or "[1,0]<stdout>:" as Open MPI writes it
  bool timestamp = false;
  bool merge = false;     // stderr goes where stdout goes
  std::string directory;  // --output-filename: DIRECTORY/1/rank.0/stdout, as Open MPI lays it out
  bool directory_only = false;    // ":nocopy": not to mpiexec's own output as well
  bool directory_has_job = true;  // ":nojobid" leaves the "1/" out
  std::string output_pattern;     // -outfile-pattern: %r is the rank, %h the host, %% a %
  std::string error_pattern;      // -errfile-pattern

  bool is_labelled() const { return label != Label::kNone || timestamp; }
};

class OutputRelay {
 public:
  OutputRelay(EventLoop& loop, OutputWish wish, int rank_count);
  ~OutputRelay();
  OutputRelay(const OutputRelay&) = delete;
  OutputRelay& operator=(const OutputRelay&) = delete;

  // The descriptors that this rank gets as stdout and stderr; -1: mpiexec's own. They stay open
  // until close_ends() after the rank was started.
  Problem open(int rank, int& output, int& error);
  void close_ends();

  // All ranks have ended: takes what is still in the pipes and closes them.
  void finish();
  // Everything taken has been written.
  bool flushed() const { return output_.empty() && error_.empty(); }
  // Nobody reads mpiexec's output any more.
  bool reader_gone() const { return output_.broken() || error_.broken(); }

 private:
  struct Stream {
    int rank = 0;
    bool is_error = false;
    int pipe = -1;
    int file = -1;  // The copy that --output-filename wants.
    bool paused = false;
    std::string partial;  // A line that has not ended yet.
  };

  Problem open_stream(int rank, bool is_error, int& end);
  Problem open_in_directory(int rank, bool is_error, int& fd) const;
  Problem open_file(const std::string& path, int& fd) const;
  std::string expand(const std::string& pattern, int rank) const;
  OutputSink& sink_of(const Stream& stream);
  void watch(Stream& stream);
  bool read_some(Stream& stream);  // False: nothing more for now, or closed.
  void deliver(Stream& stream, std::string_view bytes);
  void close(Stream& stream);
  void resume();
  std::string prefix(const Stream& stream) const;
  void write_error(std::string_view what, int error_number);

  EventLoop& loop_;
  OutputWish wish_;
  int rank_count_;
  OutputSink output_;
  OutputSink error_;
  bool complained_ = false;
  std::vector<std::unique_ptr<Stream>> streams_;  // Fixed addresses: handlers hold them.
  std::vector<int> ends_;
};

}  // namespace tern::spawn
