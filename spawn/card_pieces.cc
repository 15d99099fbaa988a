// spawn/card_pieces.cc - see card_pieces.h.
#include "spawn/card_pieces.h"

#include <algorithm>

#include "spawn/pmi1_line.h"

namespace tern::spawn {

std::string piece_key(int rank, int piece) {
  return "tern-" + std::to_string(rank) + "-" + std::to_string(piece);
}

std::vector<std::string> cut_card(std::string_view text, std::size_t piece_chars) {
  const std::size_t count = std::max<std::size_t>(1, (text.size() + piece_chars - 1) / piece_chars);
  std::vector<std::string> pieces;
  pieces.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    pieces.emplace_back(text.substr(i * piece_chars, piece_chars));
  }
  pieces[0].insert(0, std::to_string(count) + ":");
  return pieces;
}

bool CardPieces::add(std::string_view value) {
  if (taken_ == 0) {
    const std::size_t colon = value.find(':');
    count_ = to_number(value.substr(0, std::min(colon, value.size()))).value_or(0);
    if (colon == std::string_view::npos || count_ < 1) return false;
    value.remove_prefix(colon + 1);
  }
  text_ += value;
  ++taken_;
  return true;
}

void deliver_card(WireUpSink& sink, int rank, std::string_view text, std::string_view why) {
  const auto card = decode_value(text);
  if (why.empty() && !card) why = "the card of this rank arrived damaged";
  if (!why.empty()) {
    sink.on_card(rank, {}, why);
  } else {
    sink.on_card(rank, std::as_bytes(std::span(*card)), {});
  }
}

}  // namespace tern::spawn
