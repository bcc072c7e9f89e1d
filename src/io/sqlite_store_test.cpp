#include "io/sqlite_store.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store_conformance.hpp"

namespace qanat::io {
namespace {

using store::Operation;
using store::testing::secret_of;
using store::testing::text_of;
using ::testing::HasSubstr;

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "qanat-store-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file() const { return (path_ / "objects.db").string(); }
  // Every octet that is on the disk.
  [[nodiscard]] std::string everything() const {
    std::ostringstream out;
    for (const auto& entry : std::filesystem::directory_iterator(path_))
      out << std::ifstream{entry.path(), std::ios::binary}.rdbuf();
    return out.str();
  }

 private:
  std::filesystem::path path_;
};

SecretBytes key_of(std::uint8_t fill) {
  return SecretBytes::copy_of(Bytes(32, fill));
}

struct InFile {
  std::unique_ptr<store::ObjectStore> make() { return SqliteStore::open(folder.file(), rng).value(); }
  Folder folder;
  SeededRng rng{1};
};
struct InEncryptedFile {
  std::unique_ptr<store::ObjectStore> make() { return SqliteStore::open(folder.file(), rng, key_of(7)).value(); }
  Folder folder;
  SeededRng rng{1};
};
}  // namespace
}  // namespace qanat::io

namespace qanat::store::testing {
INSTANTIATE_TYPED_TEST_SUITE_P(File, StoreConformance, io::InFile);
INSTANTIATE_TYPED_TEST_SUITE_P(EncryptedFile, StoreConformance, io::InEncryptedFile);
}  // namespace qanat::store::testing

namespace qanat::io {
namespace {

class Store : public ::testing::Test {
 protected:
  Result<std::unique_ptr<SqliteStore>> open(std::optional<SecretBytes> key = std::nullopt) {
    return SqliteStore::open(folder_.file(), rng_, std::move(key));
  }
  void sql(const char* text) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(folder_.file().c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, text, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    sqlite3_close(db);
  }
  Folder folder_;
  SeededRng rng_{3};
};

TEST_F(Store, KeepsItsObjectsAndItsRevision) {
  {
    auto store = open();
    ASSERT_TRUE(store) << store.error().detail;
    ASSERT_TRUE((*store)->txn({}, std::vector{Operation::put("a", "1"), Operation::put("b", "1")}));
    ASSERT_TRUE((*store)->txn({}, std::vector{Operation::erase("b")}));
  }
  auto store = open();
  ASSERT_TRUE(store) << store.error().detail;
  EXPECT_EQ((*store)->get("a")->value().revision, 1U);
  EXPECT_EQ((*store)->list("")->revision, 2U);
  EXPECT_EQ((*store)->list("")->entries.size(), 1U);
  EXPECT_TRUE((*store)->watch("", 1)->too_old);
  EXPECT_FALSE((*store)->watch("", 2)->too_old);
}

TEST_F(Store, LeasesEndWithTheProcess) {
  {
    auto store = open();
    ASSERT_TRUE(store);
    Operation held = Operation::put("held", "1");
    held.lease = *(*store)->lease(100s, Instant{});
    ASSERT_TRUE((*store)->txn({}, std::vector{held}));
  }
  auto store = open();
  ASSERT_TRUE(store);
  EXPECT_FALSE(*(*store)->get("held"));
}

TEST_F(Store, IsForItsOwnerAlone) {
  {
    std::ofstream{folder_.file()};
  }
  ASSERT_EQ(::chmod(folder_.file().c_str(), 0644), 0);
  auto store = open();
  ASSERT_TRUE(store) << store.error().detail;
  ASSERT_TRUE((*store)->txn({}, std::vector{Operation::put("a", "1")}));
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path{folder_.file()}.parent_path())) {
    struct stat info{};
    ASSERT_EQ(::stat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U) << entry.path();
  }
}

TEST_F(Store, RefusesASecondOne) {
  auto first = open();
  ASSERT_TRUE(first);
  const auto second = open();
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().detail, HasSubstr("is a qanatd running?"));
}

TEST_F(Store, LeavesAFileOfALaterVersionOrOfAnotherKindAlone) {
  {
    ASSERT_TRUE(open());
  }
  sql("PRAGMA user_version = 99;");
  const auto later = open();
  ASSERT_FALSE(later);
  EXPECT_THAT(later.error().detail, HasSubstr("version 99"));
  std::ofstream{folder_.file(), std::ios::trunc | std::ios::binary} << std::string(5000, 'x');
  EXPECT_FALSE(open());
}

TEST_F(Store, SecretsAreOnTheDiskOnlyEncrypted) {
  const std::string psk = "a secret that nobody may find";
  {
    auto store = open(key_of(1));
    ASSERT_TRUE(store) << store.error().detail;
    ASSERT_TRUE(
        (*store)->txn({}, std::vector{Operation::put_secret("s", secret_of(psk)), Operation::put("t", "text")}));
    EXPECT_THAT(folder_.everything(), ::testing::Not(HasSubstr(psk)));
    EXPECT_THAT(folder_.everything(), HasSubstr("text"));
  }
  {
    const auto without = open();
    ASSERT_FALSE(without);
    EXPECT_THAT(without.error().detail, HasSubstr("name the key file"));
    const auto other = open(key_of(2));
    ASSERT_FALSE(other);
    EXPECT_THAT(other.error().detail, HasSubstr("another key file"));
  }
  auto store = open(key_of(1));
  ASSERT_TRUE(store) << store.error().detail;
  EXPECT_EQ(text_of((*store)->get("s")->value().secret), psk);
}

TEST_F(Store, AKeyGivenLaterEncryptsWhatIsThere) {
  const std::string psk = "written before there was a key";
  {
    auto store = open();
    ASSERT_TRUE(store);
    ASSERT_TRUE((*store)->txn({}, std::vector{Operation::put_secret("s", secret_of(psk))}));
    EXPECT_THAT(folder_.everything(), HasSubstr(psk));
  }
  {
    auto store = open(key_of(1));
    ASSERT_TRUE(store) << store.error().detail;
    EXPECT_EQ(text_of((*store)->get("s")->value().secret), psk);
    EXPECT_EQ((*store)->get("s")->value().revision, 1U);
  }
  EXPECT_THAT(folder_.everything(), ::testing::Not(HasSubstr(psk)));
}

TEST_F(Store, AKeyIsChangedForAnotherWholeOrNotAtAll) {
  {
    auto store = open(key_of(1));
    ASSERT_TRUE(store);
    for (int i = 0; i < 20; ++i)
      ASSERT_TRUE((*store)->txn(
          {}, std::vector{Operation::put_secret(fmt::format("s/{}", i), secret_of(fmt::format("secret {}", i)))}));
  }
  const auto open_with = [&](int key, int before) {
    return SqliteStore::open(folder_.file(), rng_, key_of(static_cast<std::uint8_t>(key)),
                             key_of(static_cast<std::uint8_t>(before)));
  };
  const auto wrong = open_with(2, 3);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().detail, HasSubstr("store_key_file_before, and nothing was changed"));
  // One that cannot be opened: nothing is written anew.
  sql("CREATE TABLE aside AS SELECT * FROM entries WHERE key = 's/7';"
      "UPDATE entries SET value = x'00' WHERE key = 's/7';");
  EXPECT_FALSE(open_with(2, 1));
  sql("UPDATE entries SET value = (SELECT value FROM aside) WHERE key = 's/7'; DROP TABLE aside;");
  {
    auto unchanged = open(key_of(1));
    ASSERT_TRUE(unchanged) << unchanged.error().detail;
    for (int i = 0; i < 20; ++i)
      EXPECT_EQ(text_of((*unchanged)->get(fmt::format("s/{}", i))->value().secret), fmt::format("secret {}", i));
  }
  {
    auto changed = open_with(2, 1);
    ASSERT_TRUE(changed) << changed.error().detail;
    EXPECT_EQ(text_of((*changed)->get("s/19")->value().secret), "secret 19");
    EXPECT_EQ((*changed)->get("s/19")->value().revision, 20U);
  }
  EXPECT_FALSE(open(key_of(1))) << "the key before opens nothing any more";
  EXPECT_TRUE(open_with(2, 1)) << "and may stand there until somebody takes it out";
  auto store = open(key_of(2));
  ASSERT_TRUE(store) << store.error().detail;
  EXPECT_EQ(text_of((*store)->get("s/0")->value().secret), "secret 0");
}

TEST_F(Store, IsReadWithoutItsKeyAndWithoutItsSecrets) {
  {
    auto store = open(key_of(1));
    ASSERT_TRUE(store);
    ASSERT_TRUE((*store)->txn(
        {}, std::vector{Operation::put("t", "text"), Operation::put_secret("s", secret_of("nobody reads this"))}));
    const auto beside = read_without_secrets(folder_.file(), rng_);
    ASSERT_FALSE(beside);
    EXPECT_EQ(beside.error().kind, ErrorKind::Resource);
    EXPECT_THAT(beside.error().detail, HasSubstr("a qanatd runs"));
  }
  {
    const auto read = read_without_secrets(folder_.file(), rng_);
    ASSERT_TRUE(read) << read.error().detail;
    EXPECT_EQ((*read)->get("t")->value().value, "text");
    const auto secret = (*read)->get("s")->value().secret;
    ASSERT_TRUE(secret);
    EXPECT_NE(text_of(secret), "nobody reads this");
  }
  auto store = open(key_of(1));
  ASSERT_TRUE(store) << "reading has changed nothing: " << store.error().detail;
  EXPECT_EQ(text_of((*store)->get("s")->value().secret), "nobody reads this");
  store->reset();
  std::ofstream{folder_.file()} << "this is no database, and is long enough to be taken for one at first sight....";
  const auto rubbish = read_without_secrets(folder_.file(), rng_);
  ASSERT_FALSE(rubbish);
  EXPECT_EQ(rubbish.error().kind, ErrorKind::Malformed);
  EXPECT_FALSE(read_without_secrets(folder_.file() + ".none", rng_));
}

TEST_F(Store, ASecretMovedToAnotherKeyIsNotBelieved) {
  {
    auto store = open(key_of(1));
    ASSERT_TRUE(store);
    ASSERT_TRUE((*store)->txn({}, std::vector{Operation::put_secret("s/berlin", secret_of("one")),
                                              Operation::put_secret("s/oslo", secret_of("two"))}));
  }
  sql("UPDATE entries SET value = (SELECT value FROM entries WHERE key = 's/oslo') WHERE key = 's/berlin';");
  auto store = open(key_of(1));
  ASSERT_TRUE(store);
  EXPECT_FALSE((*store)->get("s/berlin"));
  EXPECT_EQ(text_of((*store)->get("s/oslo")->value().secret), "two");
}

// Writes pairs that belong together, and every tenth time a bulk change, until it is killed; says on the pipe what was
// acknowledged.
[[noreturn]] void write_until_killed(const std::string& file, int pipe) {
  SeededRng rng{9};
  auto store = SqliteStore::open(file, rng, key_of(5));
  if (!store) ::_exit(1);
  auto known = store::generation(**store);
  for (std::uint32_t i = 1; known && i <= 1000; ++i) {
    const std::string number = std::to_string(i);
    std::vector<Operation> change{Operation::put("left/" + number, number), Operation::put("now", number),
                                  Operation::put_secret("right/" + number, secret_of(number))};
    if (i % 10 == 0) {
      for (int k = 0; k < 150; ++k) change.push_back(Operation::put(fmt::format("bulk/{}", k), number));
    }
    const auto done = store::commit(**store, *known, change);
    if (!done || !*done) ::_exit(2);
    known = **done;
    if (::write(pipe, &i, sizeof i) != sizeof i) ::_exit(3);
  }
  ::_exit(0);
}

TEST_F(Store, KillInTheMiddleOfAThousandWritesLosesNothingAcknowledged) {
  std::uint32_t rounds_cut_short = 0;
  for (const std::uint32_t kill_after : {1U, 9U, 10U, 11U, 57U, 130U, 390U, 700U}) {
    Folder folder;
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(ends[0]);
      write_until_killed(folder.file(), ends[1]);
    }
    ::close(ends[1]);
    std::uint32_t acknowledged = 0;
    std::uint32_t number = 0;
    while (::read(ends[0], &number, sizeof number) == sizeof number) {
      acknowledged = number;
      if (number == kill_after) {
        ::usleep(static_cast<useconds_t>(kill_after * 7 % 3000));
        ::kill(child, SIGKILL);
      }
    }
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "ended by itself, status " << status << " after " << acknowledged;
    rounds_cut_short += acknowledged < 1000 ? 1 : 0;

    SeededRng rng{9};
    auto store = SqliteStore::open(folder.file(), rng, key_of(5));
    ASSERT_TRUE(store) << store.error().detail;
    ASSERT_TRUE(store::recover(**store));
    const auto left = (*store)->list("left/");
    const auto right = (*store)->list("right/");
    ASSERT_TRUE(left && right);
    const auto written = static_cast<std::uint32_t>(left->entries.size());
    EXPECT_GE(written, acknowledged);
    EXPECT_LE(written, acknowledged + 1);  // one may have been written and not told
    EXPECT_EQ(right->entries.size(), written);
    EXPECT_EQ((*store)->get("now")->value().value, std::to_string(written));
    for (std::uint32_t i = 1; i <= written; ++i) {
      ASSERT_TRUE(*(*store)->get("left/" + std::to_string(i))) << i;
      EXPECT_EQ(text_of((*store)->get("right/" + std::to_string(i))->value().secret), std::to_string(i));
    }
    const auto bulk = (*store)->list("bulk/");
    EXPECT_EQ(bulk->entries.size(), written < 10 ? 0U : 150U);
    for (const store::Entry& entry : bulk->entries) EXPECT_EQ(entry.value, std::to_string(written / 10 * 10));
    EXPECT_TRUE((*store)->list(store::kStagedPrefix)->entries.empty());
  }
  EXPECT_GT(rounds_cut_short, 0U);
}

}  // namespace
}  // namespace qanat::io
