//===- SafetensorsTest.cpp - Safetensors files ----------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moert/Safetensors.h"

#include "Support.h"

#include <numeric>
#include <random>

using namespace moert;
using namespace moert::test;

namespace {

template <typename T>
TensorView view(std::string name, DType dtype, std::vector<int64_t> shape,
                const std::vector<T> &data) {
  return {std::move(name), dtype, std::move(shape), data.data(),
          data.size() * sizeof(T)};
}

/// The bytes of a file with that header and so many bytes of data.
std::string makeFile(const std::string &header, size_t dataBytes) {
  std::string file;
  for (int i = 0; i < 8; ++i)
    file.push_back(char(uint64_t(header.size()) >> (8 * i)));
  return file + header + std::string(dataBytes, 'x');
}

class SafetensorsTest : public testing::Test {
protected:
  TemporaryDirectory directory;

  /// Expects that the file is refused with `'path': message`.
  void expectRefusal(const std::string &bytes, const std::string &message) {
    std::string path = directory.write("bad.safetensors", bytes);
    auto file = SafetensorsFile::open(path);
    ASSERT_FALSE(file) << "accepted, expected: " << message;
    EXPECT_EQ(file.error(), "'" + path + "': " + message);
  }

  void expectHeaderRefusal(const std::string &header, size_t dataBytes,
                           const std::string &message) {
    expectRefusal(makeFile(header, dataBytes), message);
  }
};

TEST_F(SafetensorsTest, RoundTrip) {
  std::vector<float> weights(6);
  std::iota(weights.begin(), weights.end(), -2.5f);
  std::vector<uint8_t> bytes{1, 2, 3};
  std::vector<uint16_t> halves{0x3f80, 0x4000};
  std::vector<int64_t> ids{-1, 1ll << 40};
  std::vector<float> none;
  std::string path = directory.file("model.safetensors");
  auto written = writeSafetensors(
      path,
      {view("odd \"name\"\n\xc3\xa4", DType::U8, {3}, bytes),
       view("weights", DType::F32, {2, 3}, weights),
       view("halves", DType::BF16, {2, 1}, halves),
       view("ids", DType::I64, {2}, ids),
       view("none", DType::F32, {0, 7}, none),
       view("scalar", DType::F16, {}, std::vector<uint16_t>{0x3c00})},
      {{"format", "pt"}, {"note", "a\tb"}});
  ASSERT_TRUE(written) << written.error();
  EXPECT_EQ(directory.numFiles(), 1u) << "a temporary file is left";

  auto opened = SafetensorsFile::open(path);
  ASSERT_TRUE(opened) << opened.error();
  // Views survive moves of the file.
  SafetensorsFile file = std::move(*opened);
  EXPECT_EQ(file.path(), path);
  EXPECT_EQ(file.tensors().size(), 6u);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{
                                 {"format", "pt"}, {"note", "a\tb"}}));
  auto expectTensor = [&](const std::string &name, DType dtype,
                          const std::vector<int64_t> &shape, const void *data,
                          size_t size) {
    const TensorView *tensor = file.find(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->name, name);
    EXPECT_EQ(tensor->dtype, dtype) << name;
    EXPECT_EQ(tensor->shape, shape) << name;
    ASSERT_EQ(tensor->bytes, size) << name;
    EXPECT_EQ(std::memcmp(tensor->data, data, size), 0) << name;
    EXPECT_EQ(
        reinterpret_cast<uintptr_t>(tensor->data) % (info(dtype).bits / 8), 0u)
        << name << " is not aligned";
  };
  expectTensor("odd \"name\"\n\xc3\xa4", DType::U8, {3}, bytes.data(), 3);
  expectTensor("weights", DType::F32, {2, 3}, weights.data(), 24);
  expectTensor("halves", DType::BF16, {2, 1}, halves.data(), 4);
  expectTensor("ids", DType::I64, {2}, ids.data(), 16);
  expectTensor("none", DType::F32, {0, 7}, "", 0);
  const uint16_t one = 0x3c00;
  expectTensor("scalar", DType::F16, {}, &one, 2);
  EXPECT_EQ(file.find("weight"), nullptr);
}

// The header's length and what it is padded with, byte for byte.
TEST_F(SafetensorsTest, WritesTheFormat) {
  std::vector<uint8_t> data{7, 8};
  std::string path = directory.file("small.safetensors");
  ASSERT_TRUE(writeSafetensors(path, {view("t", DType::U8, {2}, data)}));
  std::string header = "{\"t\":{\"dtype\":\"U8\",\"shape\":[2],"
                       "\"data_offsets\":[0,2]}}";
  header.append((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(TemporaryDirectory::read(path),
            makeFile(header, 0) + std::string("\x07\x08"));
}

TEST_F(SafetensorsTest, AcceptsWhatTheFormatAllows) {
  auto accepted = [&](const std::string &header, size_t dataBytes) {
    std::string path =
        directory.write("good.safetensors", makeFile(header, dataBytes));
    auto file = SafetensorsFile::open(path);
    EXPECT_TRUE(file) << file.error();
    return bool(file);
  };
  EXPECT_TRUE(accepted("{}", 0));
  EXPECT_TRUE(accepted("{}      ", 0));
  EXPECT_TRUE(accepted(R"({"__metadata__":{}})", 0));
  // Fields, and tensors, in any order; sub-byte elements in whole bytes.
  EXPECT_TRUE(
      accepted(R"({"b":{"data_offsets":[2,4],"shape":[4],"dtype":"F4"},)"
               R"("a":{"dtype":"F8_E4M3","shape":[1,2],"data_offsets":[0,2]}})",
               4));
}

TEST_F(SafetensorsTest, RefusesBadLengths) {
  expectRefusal("", "has 0 bytes, expected at least 8 for the length of the "
                    "header");
  expectRefusal("\x02\x00\x00",
                "has 1 bytes, expected at least 8 for the length of the "
                "header");
  std::string huge = makeFile("{}", 0);
  huge.replace(0, 8, "\xff\xff\xff\xff\xff\xff\xff\xff");
  expectRefusal(huge, "header has 18446744073709551615 bytes, expected at most "
                      "2, the rest of the file");
  std::string cut = makeFile("{}      ", 0);
  cut.pop_back();
  expectRefusal(cut, "header has 8 bytes, expected at most 7, the rest of the "
                     "file");
  expectHeaderRefusal("", 0, "header does not start with '{'");
}

TEST_F(SafetensorsTest, RefusesBadJSON) {
  expectHeaderRefusal(" {}", 0, "header does not start with '{'");
  expectHeaderRefusal("[]", 0, "header does not start with '{'");
  expectHeaderRefusal("{", 0, "header is not JSON at byte 2");
  expectHeaderRefusal("{} x", 0, "header is not JSON at byte 4");
  expectHeaderRefusal("{\"a\xff\":1}", 0, "header is not JSON at byte 4");
  expectHeaderRefusal(std::string("{}\0\0", 4), 0,
                      "header has a zero byte at byte 2");
  expectHeaderRefusal(R"({"a":)" + std::string(1 << 20, '['), 0,
                      "header tensor 'a' is a list, expected an object");
}

TEST_F(SafetensorsTest, RefusesBadFields) {
  struct Case {
    const char *header;
    const char *message;
  };
  const Case cases[] = {
      {R"({"a":3})", "header tensor 'a' is a number, expected an object"},
      {R"({"a":null})", "header tensor 'a' is null, expected an object"},
      {R"({"__metadata__":[]})",
       "header '__metadata__' is a list, expected an object"},
      {R"({"__metadata__":{"k":1}})",
       "header '__metadata__' is a number, expected a string as every value"},
      {R"({"__metadata__":{"k":"1","k":"2"}})",
       "header '__metadata__' has 'k' twice"},
      {R"({"a":{"shape":[],"data_offsets":[0,4]}})",
       "header tensor 'a' has no 'dtype'"},
      {R"({"a":{"dtype":"F32","data_offsets":[0,4]}})",
       "header tensor 'a' has no 'shape'"},
      {R"({"a":{"dtype":"F32","shape":[]}})",
       "header tensor 'a' has no 'data_offsets'"},
      {R"({"a":{"dtype":"F32","dtype":"F32"}})",
       "header tensor 'a' has 'dtype' twice"},
      {R"({"a":{"device":"cpu"}})",
       "header tensor 'a' has a field 'device', expected 'dtype', 'shape' and "
       "'data_offsets'"},
      {R"({"a":{"dtype":"F33"}})",
       "header tensor 'a' has the unknown dtype 'F33'"},
      {R"({"a":{"dtype":7}})",
       "header tensor 'a' is a number, expected a string as 'dtype'"},
      {R"({"a":{"shape":4}})",
       "header tensor 'a' is a number, expected a list of sizes as 'shape'"},
      {R"({"a":{"shape":[-1]}})", "header tensor 'a' is a negative number, "
                                  "expected a list of sizes as 'shape'"},
      {R"({"a":{"shape":[1.5]}})",
       "header tensor 'a' is a number that is no 64-bit integer, expected a "
       "list of sizes as 'shape'"},
      {R"({"a":{"shape":[18446744073709551616]}})",
       "header tensor 'a' is a number that is no 64-bit integer, expected a "
       "list of sizes as 'shape'"},
      {R"({"a":{"shape":[9223372036854775808]}})",
       "header tensor 'a' has a dimension of 9223372036854775808, expected "
       "less than 2^63"},
      {R"({"a":{"shape":[[1]]}})", "header tensor 'a' is a list, expected a "
                                   "list of sizes as 'shape'"},
      {R"({"a":{"data_offsets":[0]}})",
       "header tensor 'a' has 1 'data_offsets', expected 2"},
      {R"({"a":{"data_offsets":[0,1,2]}})",
       "header tensor 'a' has more than two 'data_offsets'"},
      {R"({"a":{"data_offsets":["0",1]}})",
       "header tensor 'a' is a string, expected a list of two offsets as "
       "'data_offsets'"}};
  for (const Case &test : cases)
    expectHeaderRefusal(test.header, 4, test.message);
  expectHeaderRefusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                      R"("a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
                      4, "header names 'a' twice");
}

TEST_F(SafetensorsTest, RefusesBadLayouts) {
  auto tensor = [](const char *name, const char *dtype, const char *shape,
                   const char *offsets) {
    return std::string("\"") + name + "\":{\"dtype\":\"" + dtype +
           "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
  };
  auto expectOne = [&](const char *dtype, const char *shape,
                       const char *offsets, const char *message) {
    expectHeaderRefusal("{" + tensor("a", dtype, shape, offsets) + "}", 8,
                        message);
  };
  expectOne("F32", "[2]", "[0,9]",
            "tensor 'a' has data_offsets [0,9], expected an ascending pair up "
            "to 8");
  expectOne("F32", "[2]", "[8,0]",
            "tensor 'a' has data_offsets [8,0], expected an ascending pair up "
            "to 8");
  expectOne("F32", "[2]", "[18446744073709551608,18446744073709551615]",
            "tensor 'a' has data_offsets "
            "[18446744073709551608,18446744073709551615], expected an "
            "ascending pair up to 8");
  expectOne("F32", "[3]", "[0,8]",
            "tensor 'a' has 8 bytes of data, expected 12 for F32 [3]");
  expectOne("F4", "[15]", "[0,8]",
            "tensor 'a' is F4 [15], expected a size in whole bytes below 2^61");
  // 2^32 * 2^32 elements would be none after a wrap.
  expectOne("U8", "[4294967296,4294967296]", "[0,0]",
            "tensor 'a' is U8 [4294967296,4294967296], expected a size in "
            "whole bytes below 2^61");
  expectOne("F32", "[1]", "[4,8]",
            "tensor 'a' starts at 4, expected 0, where the data before it "
            "ends");
  expectOne("F32", "[1]", "[0,4]",
            "has 8 bytes of data, expected 4, where the last tensor ends");
  expectHeaderRefusal("{" + tensor("a", "U8", "[5]", "[0,5]") + "," +
                          tensor("b", "U8", "[4]", "[4,8]") + "}",
                      8,
                      "tensor 'b' with data_offsets [4,8] overlaps tensor 'a', "
                      "which ends at 5");
  expectHeaderRefusal("{}", 3,
                      "has 3 bytes of data, expected 0, where the last tensor "
                      "ends");
}

TEST_F(SafetensorsTest, TellsWhyItCannotOpen) {
  std::string missing = directory.file("missing.safetensors");
  auto file = SafetensorsFile::open(missing);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error(),
            "'" + missing + "': cannot open: No such file or directory");
  auto folder = SafetensorsFile::open(directory.path);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error(), "'" + directory.path + "': is not a regular file");
}

TEST_F(SafetensorsTest, RefusesToWriteNonsense) {
  std::vector<float> data{1, 2};
  std::string path = directory.file("out.safetensors");
  auto expectError = [&](const std::vector<TensorView> &tensors,
                         const std::string &message) {
    auto result = writeSafetensors(path, tensors);
    ASSERT_FALSE(result) << "written, expected: " << message;
    EXPECT_EQ(result.error(), "'" + path + "': " + message);
    EXPECT_EQ(directory.numFiles(), 0u);
  };
  TensorView tensor = view("a", DType::F32, {2}, data);
  expectError({tensor, tensor}, "tensor 'a' is given twice");
  expectError({view("a", DType::F32, {3}, data)},
              "tensor 'a' has 8 bytes of data, expected 12 for F32 [3]");
  expectError({view("a", DType::F32, {-2}, data)},
              "tensor 'a' is F32 [-2], expected a size in whole bytes below "
              "2^61");
  expectError({view("__metadata__", DType::F32, {2}, data)},
              "tensor '__metadata__' has a name that the format keeps for "
              "itself");
  expectError({view("\xff", DType::F32, {2}, data)},
              "a name or a metadata text is not UTF-8");
  tensor.data = nullptr;
  expectError({tensor}, "tensor 'a' has null data, expected 8 bytes");

  std::string nowhere = directory.file("missing/out.safetensors");
  auto result = writeSafetensors(nowhere, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(),
            "cannot create '" + nowhere + "': No such file or directory");
}

TEST_F(SafetensorsTest, ReplacesAFileThatIsMapped) {
  std::vector<float> before{1}, after{2};
  std::string path = directory.file("w.safetensors");
  ASSERT_TRUE(writeSafetensors(path, {view("w", DType::F32, {1}, before)}));
  auto file = SafetensorsFile::open(path);
  ASSERT_TRUE(file) << file.error();
  ASSERT_TRUE(writeSafetensors(path, {view("w", DType::F32, {1}, after)}));
  EXPECT_EQ(*static_cast<const float *>(file->find("w")->data), 1.0f);
}

// No mutation of a valid file may crash, and what is accepted must lie in the
// file.
TEST_F(SafetensorsTest, SurvivesMutations) {
  std::vector<float> floats(8, 1.5f);
  std::vector<uint8_t> bytes(5, 3);
  std::string original = directory.file("original.safetensors");
  ASSERT_TRUE(writeSafetensors(original,
                               {view("floats", DType::F32, {2, 4}, floats),
                                view("bytes", DType::U8, {5}, bytes)},
                               {{"format", "pt"}}));
  std::string valid = TemporaryDirectory::read(original);
  size_t dataBegin = valid.size() - 37;
  std::mt19937 random(7);
  int accepted = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string mutated = valid;
    for (unsigned j = 0, e = 1 + random() % 3; j < e; ++j) {
      // Mostly in the header, with bytes that mean something there.
      size_t at = random() % (random() % 8 ? dataBegin : mutated.size());
      const char telling[] = "{}[]\",:0123456789-.eE \\n";
      mutated[at] = random() % 2 ? char(random())
                                 : telling[random() % (sizeof(telling) - 1)];
    }
    if (random() % 10 == 0)
      mutated.resize(random() % (mutated.size() + 1));
    std::string path = directory.write("mutated.safetensors", mutated);
    auto file = SafetensorsFile::open(path);
    if (!file) {
      ASSERT_EQ(file.error().rfind("'" + path + "': ", 0), 0u);
      continue;
    }
    ++accepted;
    for (const TensorView &tensor : file->tensors()) {
      const auto *data = static_cast<const unsigned char *>(tensor.data);
      // A view that left the mapping would fault here.
      volatile unsigned sum = std::accumulate(data, data + tensor.bytes, 0u);
      (void)sum;
      ASSERT_EQ(byteSize(tensor.dtype, tensor.shape), tensor.bytes);
    }
  }
  // The loop has seen both sides.
  EXPECT_GT(accepted, 20);
  EXPECT_LT(accepted, 1500);
}

class SafetensorsModelTest : public SafetensorsTest {
protected:
  void SetUp() override {
    write("part-1.safetensors", "a", 1);
    write("part-2.safetensors", "b", 2);
  }

  void write(const std::string &file, const std::string &name, float value) {
    std::vector<float> data{value};
    ASSERT_TRUE(writeSafetensors(directory.file(file),
                                 {view(name, DType::F32, {1}, data)}));
  }

  std::string writeIndex(const std::string &text) {
    return directory.write("model.safetensors.index.json", text);
  }

  static constexpr const char *goodIndex =
      R"({"metadata":{"total_size":8,"deep":[{"weight_map":[1,-2,3.5,null]}]},)"
      R"("weight_map":{"b":"part-2.safetensors","a":"part-1.safetensors"}})";

  void expectIndexRefusal(const std::string &text, const std::string &message) {
    std::string path = writeIndex(text);
    auto model = SafetensorsModel::open(path);
    ASSERT_FALSE(model) << "accepted, expected: " << message;
    EXPECT_EQ(model.error(), "'" + path + "': " + message);
  }
};

TEST_F(SafetensorsModelTest, MapsShardsWhenTheyAreNeeded) {
  writeIndex(goodIndex);
  for (const std::string &path :
       {directory.path, directory.file("model.safetensors.index.json")}) {
    auto opened = SafetensorsModel::open(path);
    ASSERT_TRUE(opened) << opened.error();
    EXPECT_EQ(opened->numMappedShards(), 0u);
    EXPECT_EQ(opened->names(), (std::vector<std::string>{"a", "b"}));
    EXPECT_TRUE(opened->contains("b"));
    EXPECT_FALSE(opened->contains("c"));
    auto b = opened->find("b");
    ASSERT_TRUE(b) << b.error();
    EXPECT_EQ(opened->numMappedShards(), 1u);
    SafetensorsModel model = std::move(*opened);
    auto a = model.find("a");
    ASSERT_TRUE(a) << a.error();
    EXPECT_EQ(model.numMappedShards(), 2u);
    EXPECT_EQ(*static_cast<const float *>((*a)->data), 1.0f);
    EXPECT_EQ(*static_cast<const float *>((*b)->data), 2.0f);
  }
}

TEST_F(SafetensorsModelTest, OneFileIsAModel) {
  write("model.safetensors", "w", 5);
  for (const std::string &path :
       {directory.path, directory.file("model.safetensors")}) {
    auto model = SafetensorsModel::open(path);
    ASSERT_TRUE(model) << model.error();
    EXPECT_EQ(model->names(), (std::vector<std::string>{"w"}));
    auto tensor = model->find("w");
    ASSERT_TRUE(tensor) << tensor.error();
    EXPECT_EQ(*static_cast<const float *>((*tensor)->data), 5.0f);
  }
}

TEST_F(SafetensorsModelTest, NamesWhatIsMissing) {
  std::string path = writeIndex(
      R"({"weight_map":{"c":"part-1.safetensors","d":"part-3.safetensors"}})");
  auto model = SafetensorsModel::open(path);
  ASSERT_TRUE(model) << model.error();
  auto unknown = model->find("e");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error(), "'" + path + "': has no tensor 'e'");
  auto misplaced = model->find("c");
  ASSERT_FALSE(misplaced);
  EXPECT_EQ(misplaced.error(), "'" + directory.file("part-1.safetensors") +
                                   "': has no tensor 'c', expected by the "
                                   "index");
  for (int i = 0; i < 2; ++i) {
    auto lost = model->find("d");
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error(), "'" + directory.file("part-3.safetensors") +
                                "': cannot open: No such file or directory");
  }
}

TEST_F(SafetensorsModelTest, RefusesBadIndices) {
  expectIndexRefusal("", "index is not JSON at byte 1");
  expectIndexRefusal("[]", "index is a list, expected an object");
  expectIndexRefusal("7", "index is a number, expected an object");
  expectIndexRefusal("{}", "index has no 'weight_map'");
  expectIndexRefusal(R"({"weight_map":"a"})",
                     "index 'weight_map' is a string, expected an object");
  expectIndexRefusal(R"({"weight_map":{"a":{}}})",
                     "index a tensor's shard is an object, expected the name "
                     "of a file");
  expectIndexRefusal(R"({"weight_map":{"a":1}})",
                     "index a tensor's shard is a number, expected the name of "
                     "a file");
  expectIndexRefusal(R"({"weight_map":{"a":"x","a":"y"}})",
                     "index names tensor 'a' twice");
  expectIndexRefusal(R"({"weight_map":{},"weight_map":{}})",
                     "index has 'weight_map' twice");
  for (const char *file : {"../x.safetensors", "/etc/passwd", "..", ""})
    expectIndexRefusal(std::string(R"({"weight_map":{"a":")") + file + "\"}}",
                       std::string("index puts tensor 'a' into '") + file +
                           "', expected a file beside it");
}

TEST(DTypeTest, NamesGoBothWays) {
  for (int i = 0; i <= static_cast<int>(DType::F64); ++i) {
    auto dtype = static_cast<DType>(i);
    EXPECT_EQ(parseDType(info(dtype).name), dtype);
    EXPECT_EQ(info(dtype).dlpack.bits, info(dtype).bits);
  }
  EXPECT_EQ(parseDType("F128"), std::nullopt);
  EXPECT_EQ(parseDType("BF16"), DType::BF16);
  EXPECT_EQ(info(DType::BF16).dlpack.code, kDLBfloat);
  EXPECT_EQ(info(DType::U16).dlpack.code, kDLUInt);
  EXPECT_EQ(info(DType::F8_E4M3).bits, 8u);
}

TEST(DTypeTest, Sizes) {
  EXPECT_EQ(byteSize(DType::F32, {}), 4u);
  EXPECT_EQ(byteSize(DType::BF16, {3, 5}), 30u);
  EXPECT_EQ(byteSize(DType::F4, {2, 3}), 3u);
  EXPECT_EQ(byteSize(DType::F4, {3}), std::nullopt);
  EXPECT_EQ(byteSize(DType::F32, {INT64_MAX, INT64_MAX, 0}), 0u);
  EXPECT_EQ(byteSize(DType::F32, {INT64_MAX, 2}), std::nullopt);
  EXPECT_EQ(byteSize(DType::F32, {-1}), std::nullopt);
}

} // namespace
