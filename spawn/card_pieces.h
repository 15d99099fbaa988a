// spawn/card_pieces.h - business cards in key-value spaces of foreign launchers, whose values are
// short.
//
// A card is encoded as printable text (encode_value) and cut into pieces, each under a key of its
// own; the first begins with their number and a colon. The same under PMI-1 and PMI-2.
// Threading: none of its own. Failure: values, never an exception.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "spawn/wireup.h"

namespace tern::spawn {

// The key of one piece of a rank's card.
std::string piece_key(int rank, int piece);

// The values for an encoded card, piece by piece, at least one; each has up to piece_chars of the
// card, the first some more for the number.
std::vector<std::string> cut_card(std::string_view text, std::size_t piece_chars);

// Puts the pieces of one card together again, in their order.
class CardPieces {
 public:
  // The piece that is to be asked for next.
  int next() const { return taken_; }
  // Takes it; false when it is no piece of a card of Tern's.
  bool add(std::string_view value);
  bool complete() const { return taken_ > 0 && taken_ == count_; }
  const std::string& text() const { return text_; }

 private:
  int count_ = 0;  // Known from the first piece on.
  int taken_ = 0;
  std::string text_;
};

// Hands the sink what came of asking for a rank's card: the encoded card, or the reason in `why`.
void deliver_card(WireUpSink& sink, int rank, std::string_view text, std::string_view why);

}  // namespace tern::spawn
