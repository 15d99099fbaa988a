// Finding the way to another process through librdmacm, which is fake_rdmacm.h here.
#include "tests/unit/fake_rdmacm.h"
#include "tests/unit/verbs_process.h"

namespace tern {
namespace {

using test::options_with;
using test::Process;
using test::Random;
using test::wait_for;

class VerbsCmTest : public test::VerbsTest {
 protected:
  void SetUp() override {
    VerbsTest::SetUp();
    test::set_listeners_deaf(false);
    test::set_service_level(0);
  }
  void TearDown() override {
    VerbsTest::TearDown();
    EXPECT_EQ(test::cm_ids_alive(), 0) << "an identifier was not destroyed";
  }
};

verbs::VerbsOptions options_with_cm(bool thread) {
  verbs::VerbsOptions options = options_with(thread);
  options.cm = &test::fake_rdmacm();
  return options;
}

// One message each way.
bool exchange(Process& a, Process& b, Random& random) {
  return wait_for(
      [&] {
        if (a.contacts[b.id.rank].sent == 0) a.send(b, random);
        if (b.contacts[a.id.rank].sent == 0) b.send(a, random);
        return a.contacts[b.id.rank].received == 1 && b.contacts[a.id.rank].received == 1;
      },
      {&a, &b});
}

TEST_F(VerbsCmTest, BothSidesUseThePathThatWasFound) {
  Random random(30);
  for (const bool thread : {true, false}) {
    test::set_service_level(thread ? 3 : 5);
    Process a(0), b(1);
    std::string why;
    ASSERT_TRUE(a.start(options_with_cm(thread), why) && b.start(options_with_cm(thread), why))
        << why;
    const int found = test::ways_found();
    ASSERT_TRUE(wait_for([&] { return a.send(b, random); }, {&a, &b}));
    EXPECT_EQ(test::ways_found(), found + 1) << "the answer needs no search";
    EXPECT_EQ(test::last_service_level(false), thread ? 3 : 5) << "of the answer's datagrams";
    EXPECT_EQ(test::last_service_level(true), thread ? 3 : 5) << "of the last queue pair";
    EXPECT_TRUE(exchange(a, b, random));
  }
}

TEST_F(VerbsCmTest, WhoFindsPathsDifferentlyIsNotReached) {
  Process a(0), b(1);
  std::string why;
  ASSERT_TRUE(a.start(options_with_cm(false), why) && b.start(options_with(false), why)) << why;
  EXPECT_NE(a.fabric->why_unreachable(b.card).find("TERN_VERBS_CM"), std::string::npos);
  EXPECT_NE(b.fabric->why_unreachable(a.card).find("TERN_VERBS_CM"), std::string::npos);
}

TEST_F(VerbsCmTest, APeerThatNobodyFindsIsGivenUpWithWhatLibrdmacmSays) {
  Process a(0), b(1);
  std::string why;
  verbs::VerbsOptions options = options_with_cm(true);
  options.peer_timeout_s = 0.3;
  ASSERT_TRUE(a.start(options, why) && b.start(options, why)) << why;
  test::set_listeners_deaf(true);
  Random random(31);
  ASSERT_TRUE(wait_for(
      [&] {
        (void)a.send(b, random);
        return a.contacts[1].down;
      },
      {&a}));
  for (const char* const what : {"rank 1 on host node", "librdmacm finds no way to 10.0.0.1"}) {
    EXPECT_NE(a.why_down.find(what), std::string::npos) << a.why_down;
  }
}

TEST_F(VerbsCmTest, AnotherProcessBehindTheAddressIsNotTakenForIt) {
  Process a(0), b(1);
  std::string why;
  verbs::VerbsOptions options = options_with_cm(true);
  options.peer_timeout_s = 0.3;
  ASSERT_TRUE(a.start(options, why) && b.start(options, why)) << why;
  verbs::SignalAddress address;
  std::string& text = b.card.addresses.find("verbs")->second;
  ASSERT_TRUE(verbs::SignalAddress::decode(text, address));
  ++address.qp_number;  // What the one had that is no more.
  text = address.encode();
  Random random(32);
  ASSERT_TRUE(wait_for(
      [&] {
        (void)a.send(b, random);
        return a.contacts[1].down;
      },
      {&a}));
  EXPECT_NE(a.why_down.find("status 1"), std::string::npos) << a.why_down;
}

TEST_F(VerbsCmTest, EveryCallMayFailOnce) {
  Random random(33);
  for (const char* const call :
       {"cm_create_event_channel", "cm_create_id", "cm_bind_addr", "cm_listen", "cm_resolve_addr",
        "cm_resolve_route", "cm_connect", "cm_accept"}) {
    bool happened = false;
    for (const int after : {0, 1, 2}) {
      test::FakeFaults fault;
      fault.call = call;
      fault.after = after;
      test::set_faults(fault);
      Process a(0), b(1);
      std::string why;
      if (!a.start(options_with_cm(after == 1), why) || !b.start(options_with_cm(true), why)) {
        EXPECT_NE(why.find("TERN_VERBS_CM"), std::string::npos) << call << ": " << why;
        happened = true;
        continue;
      }
      EXPECT_TRUE(exchange(a, b, random)) << call << " after " << after;
      happened = happened || test::fault_happened();
    }
    EXPECT_TRUE(happened) << call << " was never called";
  }
}

TEST_F(VerbsCmTest, AddressesSurviveBeingWritten) {
  verbs::CmAddress address;
  for (std::size_t i = 0; i < address.ip.size(); ++i) {
    address.ip[i] = static_cast<std::uint8_t>(i * 17);
  }
  address.port = 65535;
  verbs::CmAddress read;
  ASSERT_TRUE(verbs::CmAddress::decode(address.encode(), read));
  EXPECT_EQ(read, address);
  const std::string text = address.encode();
  for (const std::string& wrong :
       {std::string(), std::string("."), text + "0", text.substr(0, text.size() - 4),
        text.substr(1), "x" + text.substr(1), text.substr(0, text.find('.') + 1) + "0"}) {
    EXPECT_FALSE(verbs::CmAddress::decode(wrong, read)) << wrong;
  }
}

}  // namespace
}  // namespace tern
