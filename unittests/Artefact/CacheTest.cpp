//===- CacheTest.cpp - Compiled layers that are kept ----------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Artefact/Cache.h"

#include "moe-mlir/Import/ImportLayer.h"

#include "gtest/gtest.h"

#include <filesystem>
#include <fstream>
#include <thread>

using namespace moe;
namespace fs = std::filesystem;

namespace {

//===----------------------------------------------------------------------===//
// The folder
//===----------------------------------------------------------------------===//

class CacheTest : public testing::Test {
protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "moe-cacheXXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root = pattern;
    folder = root + "/deep/cache";
  }
  void TearDown() override { fs::remove_all(root); }

  static std::string read(const fs::path &path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  static void write(const fs::path &path, const std::string &text) {
    std::ofstream(path, std::ios::binary) << text;
  }

  static void store(const Cache &cache, const char *key,
                    const std::string &bytes) {
    EXPECT_EQ(llvm::toString(cache.store(key, bytes)), "");
  }

  size_t countFiles() const {
    return std::distance(fs::directory_iterator(folder),
                         fs::directory_iterator());
  }

  std::string root, folder;
};

TEST_F(CacheTest, GivesBackWhatWasStored) {
  Cache cache(folder);
  EXPECT_EQ(cache.load("a1").status, Cache::Status::Absent);
  const std::string bytes("\0one\ntwo\n\n\xff", 10);
  store(cache, "a1", bytes);
  store(cache, "b2", "");
  EXPECT_EQ(cache.load("a1").status, Cache::Status::Found);
  EXPECT_EQ(cache.load("a1").bytes, bytes);
  EXPECT_EQ(cache.load("b2").status, Cache::Status::Found);
  EXPECT_EQ(cache.load("b2").bytes, "");
  EXPECT_EQ(cache.load("a2").status, Cache::Status::Absent);
  store(cache, "a1", "other");
  EXPECT_EQ(cache.load("a1").bytes, "other");
  EXPECT_EQ(countFiles(), 2u);
}

// Any byte that is wrong, missing or too many.
TEST_F(CacheTest, FindsDamage) {
  Cache cache(folder);
  store(cache, "a1", "some bytes");
  const fs::path path = fs::directory_iterator(folder)->path();
  const std::string whole = read(path);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] ^= 1;
    write(path, changed);
    EXPECT_EQ(cache.load("a1").status, Cache::Status::Damaged) << i;
    write(path, whole.substr(0, i));
    EXPECT_EQ(cache.load("a1").status, Cache::Status::Damaged) << i;
  }
  write(path, whole + "x");
  EXPECT_EQ(cache.load("a1").status, Cache::Status::Damaged);
  store(cache, "a1", "some bytes");
  EXPECT_EQ(cache.load("a1").bytes, "some bytes");
}

TEST_F(CacheTest, SaysWhyItCannotStore) {
  write(root + "/file", "");
  Cache cache(root + "/file/cache");
  EXPECT_EQ(cache.load("a1").status, Cache::Status::Absent);
  EXPECT_EQ(llvm::toString(cache.store("a1", "x")),
            "cannot write to the cache '" + root +
                "/file/cache': Not a directory");
}

TEST_F(CacheTest, RemovesItsFilesOnly) {
  Cache cache(folder);
  llvm::Expected<Cache::Removed> removed = cache.clear();
  ASSERT_TRUE(bool(removed)) << llvm::toString(removed.takeError());
  EXPECT_EQ(removed->files, 0);
  store(cache, "a1", "x");
  store(cache, "b2", "y");
  // What a process that was killed left.
  write(folder + "/c3.moe-cache.temp-stream-123456", "z");
  write(folder + "/cpu.json", "{}");
  write(folder + "/notes.moe-cache", "mine");
  fs::create_directory(folder + "/d4.moe-cache");
  uint64_t bytes = 0;
  for (const char *name :
       {"a1.moe-cache", "b2.moe-cache", "c3.moe-cache.temp-stream-123456"})
    bytes += fs::file_size(folder + "/" + name);
  removed = cache.clear();
  ASSERT_TRUE(bool(removed)) << llvm::toString(removed.takeError());
  EXPECT_EQ(removed->files, 3);
  EXPECT_EQ(removed->bytes, bytes);
  EXPECT_TRUE(fs::exists(folder + "/cpu.json"));
  EXPECT_TRUE(fs::exists(folder + "/notes.moe-cache"));
  EXPECT_EQ(countFiles(), 3u);
}

// What was used last stays.
TEST_F(CacheTest, KeepsItsSize) {
  Cache cache(folder, /*mostBytes=*/3500);
  auto setAge = [&](const char *key, int hours) {
    fs::last_write_time(folder + "/" + key + ".moe-cache",
                        fs::file_time_type::clock::now() -
                            std::chrono::hours(hours));
  };
  const std::string bytes(1000, 'x');
  for (const char *key : {"a1", "a2", "a3"})
    store(cache, key, bytes);
  setAge("a1", 3);
  setAge("a2", 2);
  setAge("a3", 1);
  EXPECT_EQ(cache.load("a1").status, Cache::Status::Found);
  store(cache, "a4", bytes);
  EXPECT_EQ(cache.load("a2").status, Cache::Status::Absent);
  for (const char *key : {"a1", "a3", "a4"})
    EXPECT_EQ(cache.load(key).status, Cache::Status::Found) << key;
  // One result that is larger than all may be is kept alone.
  store(cache, "a5", std::string(5000, 'y'));
  EXPECT_EQ(cache.load("a5").status, Cache::Status::Found);
  EXPECT_EQ(countFiles(), 1u);
}

// Whoever reads sees one of the results or none, never a part of one.
TEST_F(CacheTest, ServesManyAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> damaged = 0, wrong = 0;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      Cache cache(folder);
      const std::string mine(20000 + thread, char('a' + thread));
      for (int i = 0; i < 50; ++i) {
        llvm::consumeError(cache.store("a1", mine));
        Cache::Entry entry = cache.load("a1");
        damaged += entry.status == Cache::Status::Damaged;
        if (entry.status == Cache::Status::Found)
          wrong +=
              entry.bytes.size() != size_t(20000 + entry.bytes.front() - 'a');
        if (thread == 0 && i % 10 == 0)
          llvm::consumeError(cache.clear().takeError());
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(damaged, 0);
  EXPECT_EQ(wrong, 0);
}

//===----------------------------------------------------------------------===//
// Keys
//===----------------------------------------------------------------------===//

class CacheKeyTest : public CacheTest {
protected:
  static std::string getKey(const ArtefactOptions &options,
                            Form form = Form::Shared,
                            const std::string &runtime = "libmoert.so",
                            int64_t experts = 8) {
    mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
    prepareContext(context);
    mlir::OwningOpRef<mlir::ModuleOp> module =
        mlir::ModuleOp::create(mlir::UnknownLoc::get(&context));
    LayerSpec spec;
    spec.name = "layer";
    spec.hiddenSize = 64;
    spec.intermediateSize = 32;
    spec.numExperts = experts;
    spec.topK = 2;
    EXPECT_TRUE(mlir::succeeded(
        buildLayerFunction(*module, spec, ParallelConfig(), false)));
    llvm::Expected<std::string> key =
        makeCacheKey(*module, form, options, runtime);
    EXPECT_TRUE(bool(key));
    return key ? *key : llvm::toString(key.takeError());
  }
};

TEST_F(CacheKeyTest, EverythingThatMattersIsInIt) {
  WeightMap weights;
  weights.modules = {"mlp"};
  write(root + "/machine.json", "1");
  std::vector<std::string> keys = {getKey({})};
  auto add = [&](auto &&change) {
    ArtefactOptions options;
    change(options);
    keys.push_back(getKey(options));
  };
  add([](ArtefactOptions &o) { o.target = "cuda"; });
  add([](ArtefactOptions &o) { o.chip = "sm_100a"; });
  add([](ArtefactOptions &o) { o.cpu = "x86-64-v2"; });
  add([](ArtefactOptions &o) { o.cpu = "x86-64-v3"; });
  add([](ArtefactOptions &o) { o.cpu = "x86-64-v3,-fma"; });
  add([](ArtefactOptions &o) { o.ruleSet = "serial"; });
  add([](ArtefactOptions &o) { o.threshold = 255; });
  add([](ArtefactOptions &o) { o.disableSharedExpertsStream = true; });
  add([](ArtefactOptions &o) { o.monolithicKernel = true; });
  add([](ArtefactOptions &o) { o.staticNumTokens = 0; });
  add([](ArtefactOptions &o) { o.staticNumTokens = 4; });
  add([](ArtefactOptions &o) { o.maxNumTokens = 4; });
  add([](ArtefactOptions &o) { o.gemmTiles = {"a"}; });
  add([](ArtefactOptions &o) { o.gemmTiles = {"a", "b"}; });
  add([&](ArtefactOptions &o) { o.machine = root + "/machine.json"; });
  add([&](ArtefactOptions &o) { o.weights = &weights; });
  keys.push_back(getKey({}, Form::Object));
  keys.push_back(getKey({}, Form::Shared, "elsewhere/libmoert.so"));
  keys.push_back(getKey({}, Form::Shared, "libmoert.so", /*experts=*/9));
  // Of a file that an option names, the content matters.
  write(root + "/machine.json", "2");
  add([&](ArtefactOptions &o) { o.machine = root + "/machine.json"; });
  std::set<std::string> different(keys.begin(), keys.end());
  EXPECT_EQ(different.size(), keys.size());
}

TEST_F(CacheKeyTest, NothingElseIsInIt) {
  ArtefactOptions options;
  EXPECT_EQ(getKey(options), getKey(options));
  WeightMap one, two;
  options.weights = &one;
  std::string key = getKey(options);
  options.weights = &two;
  EXPECT_EQ(getKey(options), key);
  write(root + "/1.json", "1");
  write(root + "/2.json", "1");
  options.machine = root + "/1.json";
  key = getKey(options);
  options.machine = root + "/2.json";
  EXPECT_EQ(getKey(options), key);
  // An object is linked with no runtime.
  EXPECT_EQ(getKey({}, Form::Object, "here"),
            getKey({}, Form::Object, "there"));
}

TEST_F(CacheKeyTest, ResolvesTheHost) {
  ArtefactOptions host, named;
  named.cpu = "x86-64-v2";
  EXPECT_NE(getKey(host), getKey(named));
  named.cpu = "i960";
  mlir::MLIRContext context;
  prepareContext(context);
  mlir::OwningOpRef<mlir::ModuleOp> module =
      mlir::ModuleOp::create(mlir::UnknownLoc::get(&context));
  llvm::Expected<std::string> key =
      makeCacheKey(*module, Form::Shared, named, "");
  ASSERT_FALSE(bool(key));
  EXPECT_NE(llvm::toString(key.takeError()).find("but got 'i960'"),
            std::string::npos);
}

} // namespace
