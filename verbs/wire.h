// verbs/wire.h - what the verbs fabric adds to messages, and what two fabrics tell each other when
// they connect. Both ends run the same kWireVersion (core/card.h).
#pragma once
#include <infiniband/verbs.h>

#include <cstdint>
#include <type_traits>

namespace tern::verbs {

// In front of each message on a queue pair. number 0: a bare acknowledgement, without anything
// else.
struct MessageHead {
  std::uint32_t link;   // The receiver's index of the link, as it said in its EndpointBlob,
  std::uint32_t epoch;  // and the number of its endpoint: late arrivals of an old one are known.
  std::uint32_t number;
  std::uint32_t received;
  std::uint32_t limit;
  std::uint16_t head_bytes;
  std::uint16_t reserved;
};
static_assert(sizeof(MessageHead) == 24);

// In the mailbox that a peer's acknowledgements are written to when it has nothing else to say.
struct Mail {
  std::uint32_t received;
  std::uint32_t limit;
};
static_assert(sizeof(Mail) == 8, "written and read at once");

// connect::EndpointBlob: what the peer needs to connect its queue pair to ours.
struct EndpointAddress {
  std::uint32_t qp_number;
  std::uint32_t packet_number;
  std::uint32_t link;
  std::uint32_t epoch;
  std::uint64_t mailbox;
  std::uint32_t mailbox_key;
  std::uint8_t mtu;    // ibv_mtu
  std::uint8_t reads;  // RDMA reads that we serve at a time.
  std::uint16_t reserved;
};
static_assert(sizeof(EndpointAddress) == 32);

// Behind it, where there is a second queue pair on another port, for large transfers.
struct RailAddress {
  ibv_gid gid;
  std::uint32_t qp_number;
  std::uint32_t packet_number;
  std::uint16_t lid;
  std::uint8_t gid_type;
  std::uint8_t ethernet;
  std::uint8_t mtu;
  std::uint8_t reads;
  std::uint16_t reserved;
};
static_assert(sizeof(RailAddress) == 32);

// In front of each datagram: a message of core/connect_message.h, then the sender's business card.
// Where the answer goes is said apart, so that it can leave before anybody has read the card.
struct DatagramHead {
  std::uint32_t magic;
  std::uint16_t message_bytes;
  std::uint16_t card_bytes;
  ibv_gid gid;
  std::uint32_t qp_number;
  std::uint16_t lid;
  std::uint8_t gid_type;
  std::uint8_t ethernet;
  // Of the path that this takes, which the answer goes back.
  std::uint8_t service_level;
  std::uint8_t traffic_class;
  std::uint8_t hop_limit;
  std::uint8_t reserved[5];
};
static_assert(sizeof(DatagramHead) == 40);
inline constexpr std::uint32_t kDatagramMagic = 0x7465726f;
inline constexpr std::uint32_t kQkey = 0x11a27e52;  // Of all signalling queue pairs of Tern.

}  // namespace tern::verbs
