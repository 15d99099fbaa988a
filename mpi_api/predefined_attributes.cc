// mpi_api/predefined_attributes.cc - see predefined_attributes.h.
#include "mpi_api/predefined_attributes.h"

#include <algorithm>
#include <array>

#include "mpi_api/comm.h"
#include "mpi_api/errors.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

struct Predefined {
  int keyval;
  std::string_view name;
};

constexpr std::array kPredefined = {
    Predefined{MPI_TAG_UB, "MPI_TAG_UB"},
    Predefined{MPI_IO, "MPI_IO"},
    Predefined{MPI_HOST, "MPI_HOST"},
    Predefined{MPI_WTIME_IS_GLOBAL, "MPI_WTIME_IS_GLOBAL"},
    Predefined{MPI_APPNUM, "MPI_APPNUM"},
    Predefined{MPI_LASTUSEDCODE, "MPI_LASTUSEDCODE"},
    Predefined{MPI_UNIVERSE_SIZE, "MPI_UNIVERSE_SIZE"},
};

const Predefined* find(int keyval) {
  const auto at = std::find_if(kPredefined.begin(), kPredefined.end(),
                               [keyval](const Predefined& p) { return p.keyval == keyval; });
  return at == kPredefined.end() ? nullptr : at;
}

// Where a number from the launcher is kept; nullptr when the launcher did not say (negative).
const int* keep(int& place, int value) {
  place = value;
  return value < 0 ? nullptr : &place;
}

}  // namespace

bool is_predefined_attribute(int keyval) { return find(keyval) != nullptr; }

std::string_view predefined_attribute_name(int keyval) { return find(keyval)->name; }

const int* predefined_attribute(int keyval) {
  static constexpr int kTagUbValue = kTagUb;
  static constexpr int kAnyProcess = MPI_ANY_SOURCE;
  static constexpr int kNoHost = MPI_PROC_NULL;
  static constexpr int kFalse = 0;  // Clocks of different hosts are not synchronised.
  static int application_number;
  static int universe_size;
  switch (keyval) {
    case MPI_TAG_UB:
      return &kTagUbValue;
    case MPI_IO:
      return &kAnyProcess;
    case MPI_HOST:
      return &kNoHost;
    case MPI_WTIME_IS_GLOBAL:
      return &kFalse;
    case MPI_LASTUSEDCODE:
      return last_used_code();
    case MPI_APPNUM:
      return keep(application_number, runtime().wireup->info().appnum);
    case MPI_UNIVERSE_SIZE:
      return keep(universe_size, runtime().wireup->info().universe_size);
    default:
      return nullptr;
  }
}

}  // namespace tern::mpi
