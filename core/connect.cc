// core/connect.cc - the table of a connection's life, its names and its pictures; see connect.h.
#include "core/connect.h"

#include "core/check.h"

namespace tern::connect {
namespace {

using enum State;
using enum Input;
using enum Action;

// clang-format off
constexpr Row kTable[] = {
    {kIdle, kDial,           kQueued,   {}},
    {kIdle, kRequest,        kAccepted, {kCreate, kActivate, kSendAccept, kRepeat}},
    {kIdle, kRequestNoSlot,  kQueued,   {kSendBusy}},
    {kIdle, kRestarted,      kIdle,     {kDownRestarted}},
    {kIdle, kRefuse,         kFailed,   {kDownFailed}},

    {kQueued, kGrant,         kRequested, {kCreate, kSendRequest, kRepeat}},
    {kQueued, kRequest,       kAccepted,  {kCreate, kActivate, kSendAccept, kRepeat}},
    {kQueued, kRequestNoSlot, kQueued,    {kSendBusy}},
    {kQueued, kExpired,       kFailed,    {kDownFailed}},
    {kQueued, kForgotten,     kIdle,      {}},
    {kQueued, kRestarted,     kIdle,      {kDownRestarted}},
    {kQueued, kRefuse,        kFailed,    {kDownFailed}},

    {kRequested, kAccept,         kReady,     {kActivate, kSendConfirm, kUp, kProbe}},
    {kRequested, kRequest,        kAccepted,  {kActivate, kSendAccept, kRepeat}},
    {kRequested, kRequestCrossed, kRequested, {kSendRequest}},
    {kRequested, kRetry,          kRequested, {kSendRequest, kRepeat}},
    {kRequested, kNoEndpoint,     kQueued,    {kPause}},
    {kRequested, kBusy,           kQueued,    {kDestroy, kPause}},
    {kRequested, kPreempt,        kQueued,    {kDestroy}},
    {kRequested, kLost,           kQueued,    {kDestroy, kPause}},
    {kRequested, kReject,         kFailed,    {kDestroy, kDownFailed}},
    {kRequested, kExpired,        kFailed,    {kDestroy, kDownFailed}},
    {kRequested, kForgotten,      kIdle,      {kDestroy}},
    {kRequested, kRestarted,      kIdle,      {kDestroy, kDownRestarted}},
    {kRequested, kRefuse,         kFailed,    {kDestroy, kDownFailed}},
    {kRequested, kLeave,          kIdle,      {kDestroy}},

    {kAccepted, kConfirm,      kReady,    {kUp, kProbe}},
    {kAccepted, kRequestAgain, kAccepted, {kSendAccept}},
    {kAccepted, kRequest,      kAccepted, {kDestroy, kCreate, kActivate, kSendAccept, kRepeat}},
    {kAccepted, kRetry,        kAccepted, {kSendAccept, kRepeat}},
    {kAccepted, kNoEndpoint,   kIdle,     {kSendBusy}},
    {kAccepted, kBadRemote,    kIdle,     {kDestroy, kSendBusy}},
    {kAccepted, kAcceptOther,  kIdle,     {kDestroy, kSendGone}},
    {kAccepted, kClose,        kIdle,     {kDestroy, kSendGone}},
    {kAccepted, kGone,         kIdle,     {kDestroy}},
    {kAccepted, kLost,         kIdle,     {kDestroy, kSendGone}},
    {kAccepted, kExpired,      kFailed,   {kDestroy, kDownFailed}},
    {kAccepted, kForgotten,    kIdle,     {kDestroy}},
    {kAccepted, kRestarted,    kIdle,     {kDestroy, kDownRestarted}},
    {kAccepted, kRefuse,       kFailed,   {kDestroy, kSendGone, kDownFailed}},
    {kAccepted, kLeave,        kIdle,     {kDestroy, kSendGone}},

    {kReady, kRetry,       kReady,    {kProbe}},
    {kReady, kEvict,       kDraining, {kQuiesce, kProbe}},
    {kReady, kClose,       kYielding, {kQuiesce, kProbe}},
    {kReady, kAcceptAgain, kReady,    {kSendConfirm}},
    {kReady, kLost,        kIdle,     {kDestroy, kSendGone, kDownLost}},
    {kReady, kGone,        kIdle,     {kDestroy, kDownLost}},
    {kReady, kAcceptOther, kIdle,     {kDestroy, kSendGone, kDownLost}},
    {kReady, kRequest,     kAccepted, {kDestroy, kDownLost, kCreate, kActivate, kSendAccept, kRepeat}},
    {kReady, kBadRemote,   kQueued,   {kDestroy, kSendGone, kPause}},
    {kReady, kRestarted,   kIdle,     {kDestroy, kDownRestarted}},
    {kReady, kRefuse,      kFailed,   {kDestroy, kSendGone, kDownFailed}},
    {kReady, kLeave,       kIdle,     {kDestroy, kSendGone}},

    {kDraining, kQuiet,       kClosing,  {kSendClose, kRepeat}},
    {kDraining, kRetry,       kDraining, {kProbe}},
    {kDraining, kClose,       kYielding, {kProbe}},
    {kDraining, kAcceptAgain, kDraining, {kSendConfirm}},
    {kDraining, kLost,        kIdle,     {kDestroy, kSendGone, kDownLost}},
    {kDraining, kGone,        kIdle,     {kDestroy, kDownLost}},
    {kDraining, kAcceptOther, kIdle,     {kDestroy, kSendGone, kDownLost}},
    {kDraining, kRequest,     kAccepted, {kDestroy, kDownLost, kCreate, kActivate, kSendAccept, kRepeat}},
    {kDraining, kRestarted,   kIdle,     {kDestroy, kDownRestarted}},
    {kDraining, kRefuse,      kFailed,   {kDestroy, kSendGone, kDownFailed}},
    {kDraining, kLeave,       kIdle,     {kDestroy, kSendGone}},

    {kClosing, kGone,        kIdle,     {kDestroy, kSendGone, kDownClosed}},
    {kClosing, kClose,       kIdle,     {kDestroy, kSendGone, kDownClosed}},
    {kClosing, kRetry,       kClosing,  {kSendClose, kRepeat}},
    {kClosing, kLost,        kIdle,     {kDestroy, kSendGone, kDownLost}},
    {kClosing, kAcceptOther, kIdle,     {kDestroy, kSendGone, kDownLost}},
    {kClosing, kRequest,     kAccepted, {kDestroy, kDownLost, kCreate, kActivate, kSendAccept, kRepeat}},
    {kClosing, kExpired,     kFailed,   {kDestroy, kDownFailed}},
    {kClosing, kRestarted,   kIdle,     {kDestroy, kDownRestarted}},
    {kClosing, kRefuse,      kFailed,   {kDestroy, kSendGone, kDownFailed}},
    {kClosing, kLeave,       kIdle,     {kDestroy, kSendGone}},

    {kYielding, kRetry,       kYielding, {kProbe}},
    {kYielding, kQuiet,       kIdle,     {kDestroy, kSendGone, kDownClosed}},
    {kYielding, kGone,        kIdle,     {kDestroy, kDownLost}},
    {kYielding, kLost,        kIdle,     {kDestroy, kSendGone, kDownLost}},
    {kYielding, kAcceptOther, kIdle,     {kDestroy, kSendGone, kDownLost}},
    {kYielding, kRequest,     kAccepted, {kDestroy, kDownLost, kCreate, kActivate, kSendAccept, kRepeat}},
    {kYielding, kRestarted,   kIdle,     {kDestroy, kDownRestarted}},
    {kYielding, kRefuse,      kFailed,   {kDestroy, kSendGone, kDownFailed}},
    {kYielding, kLeave,       kIdle,     {kDestroy, kSendGone}},

    {kFailed, kRequest,   kFailed, {kSendReject}},
    {kFailed, kRestarted, kIdle,   {kDownRestarted}},
};
// clang-format on

constexpr std::string_view kStateNames[] = {"Idle",     "Queued",  "Requested", "Accepted", "Ready",
                                            "Draining", "Closing", "Yielding",  "Failed"};
constexpr std::string_view kInputNames[] = {"dial",
                                            "lost",
                                            "quiet",
                                            "refuse",
                                            "leave",
                                            "grant",
                                            "evict",
                                            "preempt",
                                            "no endpoint",
                                            "bad remote",
                                            "retry",
                                            "expired",
                                            "forgotten",
                                            "request",
                                            "request again",
                                            "request crossed",
                                            "request, no slot",
                                            "accept",
                                            "accept again",
                                            "accept other",
                                            "confirm",
                                            "busy",
                                            "reject",
                                            "close",
                                            "gone",
                                            "restarted"};
constexpr std::string_view kActionNames[] = {"",
                                             "create",
                                             "activate",
                                             "destroy",
                                             "up",
                                             "quiesce",
                                             "down: lost",
                                             "down: closed",
                                             "down: failed",
                                             "down: restarted",
                                             "send request",
                                             "send accept",
                                             "send confirm",
                                             "send busy",
                                             "send reject",
                                             "send close",
                                             "send gone",
                                             "repeat",
                                             "pause",
                                             "probe"};
static_assert(std::size(kStateNames) == kStates &&
              static_cast<std::size_t>(kFailed) + 1 == kStates);
static_assert(std::size(kInputNames) == kInputs &&
              static_cast<std::size_t>(kRestarted) + 1 == kInputs);
static_assert(std::size(kActionNames) == kActions &&
              static_cast<std::size_t>(kProbe) + 1 == kActions);

using Index = std::array<std::array<std::uint8_t, kInputs>, kStates>;
constexpr std::uint8_t kNoRow = 0xFF;
static_assert(std::size(kTable) < kNoRow);

constexpr Index make_index() {
  Index index{};
  for (auto& line : index) line.fill(kNoRow);
  for (std::size_t i = 0; i < std::size(kTable); ++i) {
    std::uint8_t& place =
        index[static_cast<std::size_t>(kTable[i].from)][static_cast<std::size_t>(kTable[i].input)];
    CHECK(place == kNoRow);  // Two rows for one state and input do not compile.
    place = static_cast<std::uint8_t>(i);
  }
  return index;
}
constexpr Index kIndex = make_index();

}  // namespace

std::span<const Row> table() { return kTable; }

const Row* find_row(State state, Input input) {
  const std::uint8_t row = kIndex[static_cast<std::size_t>(state)][static_cast<std::size_t>(input)];
  return row == kNoRow ? nullptr : &kTable[row];
}

std::string_view name(State state) { return kStateNames[static_cast<std::size_t>(state)]; }
std::string_view name(Input input) { return kInputNames[static_cast<std::size_t>(input)]; }
std::string_view name(Action action) { return kActionNames[static_cast<std::size_t>(action)]; }

std::string diagram() {
  std::string text = "stateDiagram-v2\n    [*] --> Idle\n";
  for (std::size_t from = 0; from < kStates; ++from) {
    for (std::size_t to = 0; to < kStates; ++to) {
      std::string inputs;
      for (const Row& row : kTable) {
        const bool shown = row.input != kLeave && row.input != kRefuse && row.input != kRestarted;
        if (static_cast<std::size_t>(row.from) != from || static_cast<std::size_t>(row.to) != to ||
            from == to || !shown) {
          continue;
        }
        if (!inputs.empty()) inputs += "<br>";
        inputs += name(row.input);
      }
      if (inputs.empty()) continue;
      text += "    " + std::string(kStateNames[from]) + " --> " + std::string(kStateNames[to]) +
              ": " + inputs + "\n";
    }
  }
  return text;
}

std::string table_as_markdown() {
  std::string text = "| state | input | next state | actions |\n| --- | --- | --- | --- |\n";
  for (const Row& row : kTable) {
    std::string actions;
    for (const Action action : row.actions) {
      if (action == kNone) break;
      if (!actions.empty()) actions += ", ";
      actions += name(action);
    }
    text += "| " + std::string(name(row.from)) + " | " + std::string(name(row.input)) + " | " +
            (row.to == row.from ? "" : std::string(name(row.to))) + " | " + actions + " |\n";
  }
  return text;
}

}  // namespace tern::connect
