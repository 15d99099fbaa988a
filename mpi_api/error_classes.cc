// mpi_api/error_classes.cc - error classes, codes and their texts (MPI-5.0 sections 9.4 and 9.5).
//
// Predefined classes are their own codes. Classes and codes that programs add share one row of
// numbers above MPI_ERR_LASTCODE; a removed number is not given out again, so that an old code
// never gets a new meaning. The sentence of one particular failure is kept by errors.cc. Threading:
// any thread at any time, also before MPI_Init; one lock guards what was added.
#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "core/format.h"
#include "impl.h"
#include "mpi_api/errors.h"

namespace tern::mpi {
namespace {

struct ClassText {
  int code;
  const char* name;
  const char* text;
};

// In the order of their values, without gaps: a class is its own index.
constexpr ClassText kClasses[] = {
#include "error_classes.inc"
};

constexpr bool classes_are_indices() {
  for (int i = 0; i < static_cast<int>(std::size(kClasses)); ++i) {
    if (kClasses[i].code != i) return false;
  }
  return true;
}
static_assert(classes_are_indices());

bool is_predefined(int code) { return code >= 0 && code < static_cast<int>(std::size(kClasses)); }

// What a program has added.
struct Added {
  int error_class = 0;              // Of a class: the class itself.
  std::optional<std::string> text;  // MPI_Add_error_string
};

struct Table {
  std::mutex lock;
  std::map<int, Added> added;
  int last = MPI_ERR_LASTCODE;  // Highest number ever given out.
  int last_used = MPI_ERR_LASTCODE;

  // Precondition of all: the lock is held.
  Added* find(int code) {
    const auto at = added.find(code);
    return at == added.end() ? nullptr : &at->second;
  }
  int add(std::optional<int> error_class) {
    ++last;
    added.emplace(last, Added{error_class.value_or(last), {}});
    update_last_used();
    return last;
  }
  void remove(int code) {
    added.erase(code);
    update_last_used();
  }
  void update_last_used() {
    // Read through the attribute's pointer without the lock.
    const int value = added.empty() ? MPI_ERR_LASTCODE : added.rbegin()->first;
    std::atomic_ref<int>(last_used).store(value, std::memory_order_relaxed);
  }
};

// Never destroyed: destructors of the program may still ask for texts.
Table& table() {
  static Table& instance = *new Table;
  return instance;
}

int no_such_code(const char* argument, int code) {
  return fail(MPI_ERR_ARG,
              "{} is {}, which is neither a predefined error class (0 to {}) nor one that "
              "was added",
              argument, code, std::size(kClasses) - 1);
}

int not_added(const char* argument, int code, const char* what) {
  return fail(MPI_ERR_ARG, "{} is {}, which is not {}{}", argument, code, what,
              code <= MPI_ERR_LASTCODE ? "; those that MPI predefines cannot be changed" : "");
}

}  // namespace

std::string error_text(int code) {
  if (is_predefined(code)) return kClasses[code].text;
  Table& t = table();
  const std::lock_guard lock(t.lock);
  const Added* const added = t.find(code);
  return added == nullptr ? std::string() : added->text.value_or("");
}

std::string error_name(int code) {
  return is_predefined(code) ? kClasses[code].name : tern::format("error code {}", code);
}

const int* last_used_code() { return &table().last_used; }

namespace impl {

int error_class(int errorcode, int* errorclass) {
  if (is_predefined(errorcode)) {
    *errorclass = errorcode;
    return MPI_SUCCESS;
  }
  Table& t = table();
  const std::lock_guard lock(t.lock);
  const Added* const added = t.find(errorcode);
  if (added == nullptr) return no_such_code("errorcode", errorcode);
  *errorclass = added->error_class;
  return MPI_SUCCESS;
}

int error_string(int errorcode, char* string, int* resultlen) {
  std::string text;
  if (is_predefined(errorcode)) {
    text = tern::format("{}: {}", kClasses[errorcode].name, kClasses[errorcode].text);
    const std::string_view latest = last_failure(errorcode);
    if (!latest.empty()) text += tern::format(". {}", latest);
  } else {
    Table& t = table();
    const std::lock_guard lock(t.lock);
    const Added* const added = t.find(errorcode);
    if (added == nullptr) return no_such_code("errorcode", errorcode);
    text = added->text.value_or("");
  }
  const std::size_t length = std::min<std::size_t>(text.size(), MPI_MAX_ERROR_STRING - 1);
  std::memcpy(string, text.data(), length);
  string[length] = '\0';
  *resultlen = static_cast<int>(length);
  return MPI_SUCCESS;
}

int add_error_class(int* errorclass) {
  Table& t = table();
  const std::lock_guard lock(t.lock);
  *errorclass = t.add(std::nullopt);
  return MPI_SUCCESS;
}

int add_error_code(int errorclass, int* errorcode) {
  Table& t = table();
  const std::lock_guard lock(t.lock);
  const Added* const added = t.find(errorclass);
  const bool is_class = added != nullptr && added->error_class == errorclass;
  if (!is_class && !is_predefined(errorclass)) return no_such_code("errorclass", errorclass);
  *errorcode = t.add(errorclass);
  return MPI_SUCCESS;
}

int add_error_string(int errorcode, const char* string) {
  const std::size_t length = std::strlen(string);
  if (length >= MPI_MAX_ERROR_STRING) {
    return fail(MPI_ERR_ARG, "string has {} characters; allowed are {}", length,
                MPI_MAX_ERROR_STRING - 1);
  }
  Table& t = table();
  const std::lock_guard lock(t.lock);
  Added* const added = t.find(errorcode);
  if (added == nullptr) return not_added("errorcode", errorcode, "an added error class or code");
  added->text.emplace(string, length);
  return MPI_SUCCESS;
}

int remove_error_class(int errorclass) {
  Table& t = table();
  const std::lock_guard lock(t.lock);
  const Added* const added = t.find(errorclass);
  if (added == nullptr || added->error_class != errorclass) {
    return not_added("errorclass", errorclass, "an added error class");
  }
  for (const auto& [code, other] : t.added) {
    if (other.error_class == errorclass && code != errorclass) {
      return fail(MPI_ERR_OTHER,
                  "error class {} still has error code {}; remove its codes first "
                  "(MPI_Remove_error_code)",
                  errorclass, code);
    }
  }
  t.remove(errorclass);
  return MPI_SUCCESS;
}

int remove_error_code(int errorcode) {
  Table& t = table();
  const std::lock_guard lock(t.lock);
  const Added* const added = t.find(errorcode);
  if (added == nullptr || added->error_class == errorcode) {
    return not_added("errorcode", errorcode, "an added error code");
  }
  if (added->text) {
    return fail(MPI_ERR_OTHER,
                "error code {} still has a text; remove that first (MPI_Remove_error_string)",
                errorcode);
  }
  t.remove(errorcode);
  return MPI_SUCCESS;
}

int remove_error_string(int errorcode) {
  Table& t = table();
  const std::lock_guard lock(t.lock);
  Added* const added = t.find(errorcode);
  if (added == nullptr) return not_added("errorcode", errorcode, "an added error class or code");
  if (!added->text) {
    return fail(MPI_ERR_ARG, "errorcode is {}, which has no text (MPI_Add_error_string)",
                errorcode);
  }
  added->text.reset();
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
