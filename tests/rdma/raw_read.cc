// raw_read.cc - whether a device's word that an RDMA read is done can be trusted when packets get
// lost: libibverbs alone, nothing of Tern.
//
// Usage: raw_read listen PORT SECONDS QUEUE_PAIRS, and on the other host the same with the first
// host's name in place of `listen`. Both ends read pieces of at most 64 KiB of memory that never
// changes from each other, with messages in between and the attributes that Tern sets. When a read
// has been completed without an error, each of its bytes is compared. A queue pair that breaks is
// reported and rests. One thread.
//
// What it has shown on rxe (Linux 6.12): in one of a few queue pairs that break, the read under way
// is reported as done although its end, or all of it, has not been read; the request after it gets
// the error. Its completer takes a response out of sequence for an error and leaves the status of
// the request at success. So of each queue pair the last completion before an error may be wrong;
// none else ever was. verbs/reads.cc relies on that.
// Exit status: 0 none else was, 1 some were, 2 it could not run.
#include <infiniband/verbs.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t kSourceBytes = std::size_t{1} << 20;
constexpr std::size_t kReadBytesMax = std::size_t{1} << 16;
constexpr std::uint32_t kReads = 4;     // At a time, of a queue pair.
constexpr std::uint32_t kMessages = 8;  // Likewise.
constexpr std::uint32_t kReceives = 256;
constexpr std::uint32_t kMessageBytes = 4000;
constexpr std::uint32_t kUntouched = 0xdeadbeef;
// wr_id: the pair times 256, plus the place of the read or one of these.
constexpr std::uint64_t kReceive = 254;
constexpr std::uint64_t kMessage = 255;

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(2);
}

struct Read {
  std::size_t from = 0;
  std::size_t bytes = 0;
  bool is_under_way = false;
  std::uint32_t* to = nullptr;
};

struct End {  // What the other side has to know.
  std::uint32_t queue_pair;
  std::uint32_t packet_number;
  std::uint32_t key;
  std::uint64_t address;
  ibv_gid gid;
};

struct Pair {
  ibv_qp* qp = nullptr;
  End peer = {};
  std::array<Read, kReads> reads;
  std::uint32_t messages = 0;  // Under way.
  bool is_broken = false;
  bool was_last_wrong = false;  // The last completion.
};

struct Device {
  ibv_context* context = nullptr;
  ibv_pd* pd = nullptr;
  ibv_cq* cq = nullptr;
  ibv_srq* srq = nullptr;
  ibv_mr* source = nullptr;
  ibv_mr* target = nullptr;
  ibv_mr* messages = nullptr;
  int gid_index = 0;
  ibv_gid gid = {};
};

Device device;
std::mt19937_64 random_word;
std::size_t reads_right = 0;
std::size_t reads_wrong_last = 0;  // Before an error of their queue pair.
std::size_t reads_wrong = 0;       // All others.

std::size_t below(std::size_t limit) { return random_word() % limit; }

std::uint32_t word_at(std::size_t i) { return static_cast<std::uint32_t>(i) * 2654435761U; }

int reach(const char* host, const char* port) {
  const bool listens = std::strcmp(host, "listen") == 0;
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = listens ? AI_PASSIVE : 0;
  addrinfo* where = nullptr;
  if (getaddrinfo(listens ? nullptr : host, port, &hints, &where) != 0) give_up("getaddrinfo");
  for (int attempt = 0; attempt < 100; ++attempt) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (listens) {
      if (bind(fd, where->ai_addr, where->ai_addrlen) != 0 || listen(fd, 1) != 0) give_up("bind");
      return accept(fd, nullptr, nullptr);
    }
    if (connect(fd, where->ai_addr, where->ai_addrlen) == 0) return fd;
    close(fd);
    usleep(200000);
  }
  give_up("connect");
}

template <typename T>
T exchange(int fd, const T& mine) {
  T its{};
  if (write(fd, &mine, sizeof mine) != sizeof mine) give_up("write");
  if (recv(fd, &its, sizeof its, MSG_WAITALL) != sizeof its) give_up("recv");
  return its;
}

ibv_mr* memory(std::size_t bytes) {
  void* const at = std::aligned_alloc(4096, bytes);
  if (at == nullptr) give_up("aligned_alloc");
  std::memset(at, 0, bytes);
  ibv_mr* const mr =
      ibv_reg_mr(device.pd, at, bytes, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ);
  if (mr == nullptr) give_up("ibv_reg_mr");
  return mr;
}

// All messages arrive in the same place: nobody looks at them.
void post_receive() {
  ibv_sge piece{reinterpret_cast<std::uint64_t>(device.messages->addr), kMessageBytes,
                device.messages->lkey};
  ibv_recv_wr request{};
  request.wr_id = kReceive;
  request.sg_list = &piece;
  request.num_sge = 1;
  ibv_recv_wr* refused = nullptr;
  if (ibv_post_srq_recv(device.srq, &request, &refused) != 0) give_up("ibv_post_srq_recv");
}

void open_device(std::size_t pairs) {
  int count = 0;
  ibv_device** const devices = ibv_get_device_list(&count);
  if (devices == nullptr || count == 0) give_up("there is no RDMA device");
  device.context = ibv_open_device(devices[0]);
  if (device.context == nullptr) give_up("ibv_open_device");
  device.pd = ibv_alloc_pd(device.context);
  device.cq = ibv_create_cq(device.context, 8192, nullptr, nullptr, 0);
  ibv_srq_init_attr make{};
  make.attr.max_wr = kReceives;
  make.attr.max_sge = 1;
  device.srq = ibv_create_srq(device.pd, &make);
  if (device.cq == nullptr || device.srq == nullptr) give_up("ibv_create_cq or ibv_create_srq");
  ibv_gid_entry entries[16];
  const ssize_t known = ibv_query_gid_table(device.context, entries, 16, 0);
  for (ssize_t i = 0; i < known; ++i) {  // The last one is of the IPv4 address.
    if (entries[i].gid_type != IBV_GID_TYPE_ROCE_V2) continue;
    device.gid_index = static_cast<int>(entries[i].gid_index);
    device.gid = entries[i].gid;
  }
  device.source = memory(kSourceBytes);
  device.target = memory(pairs * kReads * kReadBytesMax);
  device.messages = memory(8192);
  auto* const words = static_cast<std::uint32_t*>(device.source->addr);
  for (std::size_t i = 0; i < kSourceBytes / 4; ++i) words[i] = word_at(i);
  for (std::uint32_t i = 0; i < kReceives; ++i) post_receive();
}

void change(Pair& pair, ibv_qp_attr& attributes, int mask) {
  if (ibv_modify_qp(pair.qp, &attributes, mask) != 0) give_up("ibv_modify_qp");
}

void connect_pair(Pair& pair, int fd) {
  ibv_qp_init_attr make{};
  make.send_cq = make.recv_cq = device.cq;
  make.srq = device.srq;
  make.cap.max_send_wr = kReads + kMessages;
  make.cap.max_send_sge = 1;
  make.qp_type = IBV_QPT_RC;
  make.sq_sig_all = 1;
  pair.qp = ibv_create_qp(device.pd, &make);
  if (pair.qp == nullptr) give_up("ibv_create_qp");
  const End mine{pair.qp->qp_num, static_cast<std::uint32_t>(below(1 << 24)), device.source->rkey,
                 reinterpret_cast<std::uint64_t>(device.source->addr), device.gid};
  pair.peer = exchange(fd, mine);
  ibv_qp_attr to{};
  to.qp_state = IBV_QPS_INIT;
  to.port_num = 1;
  to.qp_access_flags = IBV_ACCESS_REMOTE_READ;
  change(pair, to, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
  to.qp_state = IBV_QPS_RTR;
  to.path_mtu = IBV_MTU_4096;
  to.dest_qp_num = pair.peer.queue_pair;
  to.rq_psn = pair.peer.packet_number;
  to.max_dest_rd_atomic = kReads;
  to.min_rnr_timer = 12;
  to.ah_attr.is_global = 1;
  to.ah_attr.port_num = 1;
  to.ah_attr.grh.dgid = pair.peer.gid;
  to.ah_attr.grh.sgid_index = static_cast<std::uint8_t>(device.gid_index);
  to.ah_attr.grh.hop_limit = 64;
  change(pair, to,
         IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
             IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
  to.qp_state = IBV_QPS_RTS;
  to.timeout = 14;
  to.retry_cnt = 6;
  to.rnr_retry = 6;
  to.sq_psn = mine.packet_number;
  to.max_rd_atomic = kReads;
  change(pair, to,
         IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
             IBV_QP_MAX_QP_RD_ATOMIC);
}

void post(Pair& pair, ibv_send_wr& request, void* at, std::size_t bytes, const ibv_mr& mr) {
  ibv_sge piece{reinterpret_cast<std::uint64_t>(at), static_cast<std::uint32_t>(bytes), mr.lkey};
  request.sg_list = &piece;
  request.num_sge = 1;
  ibv_send_wr* refused = nullptr;
  if (ibv_post_send(pair.qp, &request, &refused) != 0) give_up("ibv_post_send");
}

void post_message(Pair& pair, std::uint64_t id) {
  ++pair.messages;
  ibv_send_wr request{};
  request.wr_id = id;
  request.opcode = IBV_WR_SEND;
  post(pair, request, static_cast<std::byte*>(device.messages->addr) + 4096,
       1 + below(kMessageBytes), *device.messages);
}

void post_read(Pair& pair, std::uint64_t id, Read& read) {
  read.bytes = 4 * (1 + below(kReadBytesMax / 4));
  read.from = 4 * below((kSourceBytes - read.bytes) / 4);
  read.is_under_way = true;
  std::fill_n(read.to, kReadBytesMax / 4, kUntouched);
  ibv_send_wr request{};
  request.wr_id = id;
  request.opcode = IBV_WR_RDMA_READ;
  request.wr.rdma.remote_addr = pair.peer.address + read.from;
  request.wr.rdma.rkey = pair.peer.key;
  post(pair, request, read.to, read.bytes, *device.target);
}

bool is_right(const Read& read, std::uint64_t pair) {
  const std::size_t words = read.bytes / 4;
  std::size_t i = 0;
  while (i < words && read.to[i] == word_at(read.from / 4 + i)) ++i;
  if (i == words) return true;
  std::printf("queue pair %ju: done, but wrong from byte %zu of %zu on: %s there\n",
              static_cast<std::uintmax_t>(pair), i * 4, read.bytes,
              read.to[i] == kUntouched ? "nothing is" : "other data are");
  return false;
}

// Everything that a pair may have under way, while `goes_on`; false when nothing is.
bool advance(Pair& pair, std::uint64_t index, bool goes_on) {
  bool is_busy = pair.messages > 0;
  for (std::uint64_t place = 0; place < kReads; ++place) {
    Read& read = pair.reads[place];
    if (goes_on && !read.is_under_way) {
      if (pair.messages < kMessages && below(2) == 0) post_message(pair, index << 8 | kMessage);
      post_read(pair, index << 8 | place, read);
    }
    is_busy = is_busy || read.is_under_way;
  }
  return is_busy;
}

void take(std::vector<Pair>& pairs, const ibv_wc& done) {
  const std::uint64_t kind = done.wr_id & 255;
  if (kind == kReceive) {
    if (done.status == IBV_WC_SUCCESS) post_receive();
    return;
  }
  Pair& pair = pairs[done.wr_id >> 8];
  const bool failed = done.status != IBV_WC_SUCCESS;
  if (std::exchange(pair.was_last_wrong, false)) ++(failed ? reads_wrong_last : reads_wrong);
  if (failed) {
    if (!std::exchange(pair.is_broken, true)) {
      std::printf("queue pair %ju: %s\n", static_cast<std::uintmax_t>(done.wr_id >> 8),
                  ibv_wc_status_str(done.status));
    }
  } else if (kind == kMessage) {
    --pair.messages;
  } else {
    pair.reads[kind].is_under_way = false;
    pair.was_last_wrong = !is_right(pair.reads[kind], done.wr_id >> 8);
    if (!pair.was_last_wrong) ++reads_right;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: raw_read listen|HOST PORT SECONDS QUEUE_PAIRS\n");
    return 2;
  }
  using Clock = std::chrono::steady_clock;
  std::vector<Pair> pairs(std::strtoul(argv[4], nullptr, 10));
  const auto seed = std::random_device{}();
  random_word.seed(seed);
  open_device(pairs.size());
  const int fd = reach(argv[1], argv[2]);
  auto* place = static_cast<std::uint32_t*>(device.target->addr);
  for (Pair& pair : pairs) {
    connect_pair(pair, fd);
    for (Read& read : pair.reads) {
      read.to = place;
      place += kReadBytesMax / 4;
    }
  }
  exchange(fd, 'c');
  std::printf("running, seed %u\n", seed);
  std::fflush(stdout);
  const auto end = Clock::now() + std::chrono::seconds(std::atoi(argv[3]));
  for (bool is_busy = true; is_busy && Clock::now() < end + std::chrono::seconds(10);) {
    const bool goes_on = Clock::now() < end;
    is_busy = goes_on;
    for (std::size_t i = 0; i < pairs.size(); ++i)
      is_busy = (!pairs[i].is_broken && advance(pairs[i], i, goes_on)) || is_busy;
    ibv_wc done[16];
    const int count = ibv_poll_cq(device.cq, 16, done);
    for (int i = 0; i < count; ++i) take(pairs, done[i]);
    if (count == 0) usleep(100);
  }
  exchange(fd, 'd');  // Until now the other end may have read here.
  for (const Pair& pair : pairs) reads_wrong += pair.was_last_wrong ? 1 : 0;
  std::printf("%zu reads right, %zu wrong before an error, %zu wrong otherwise\n", reads_right,
              reads_wrong_last, reads_wrong);
  return reads_wrong > 0 ? 1 : 0;
}
