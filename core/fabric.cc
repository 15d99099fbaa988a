// core/fabric.cc - what a fabric does unless it knows better; see fabric.h.
#include "core/fabric.h"

#include "core/wire.h"

namespace tern {

Post Fabric::send_eager(Link& link, std::uint64_t context, std::uint64_t source_and_tag,
                        const std::byte* body, std::size_t body_bytes) {
  const wire::EagerWords head = wire::eager_words(context, source_and_tag);
  return send(link, std::as_bytes(std::span(head)), {body, body_bytes});
}

}  // namespace tern
