//===- FilesTest.cpp - Weights, rows and outputs in files -----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RunFixture.h"

#include "moe-mlir/Import/RandomInputs.h"

using namespace moe;
using namespace moe::test;

namespace {

class FilesTest : public RunTest {
protected:
  static HostTensor random(const std::string &name, int64_t T,
                           uint64_t seed = 0, bool given = false) {
    const LayerSpec layer = tinyLayer(given);
    for (const TensorSpec &input : layerInputs(layer))
      if (input.name == name)
        return randomInput(layer, input, T, seed);
    ADD_FAILURE() << "no input " << name;
    return {};
  }

  /// The weights of `seed`, under the names of a model's layer 1.
  void writeModel(const std::string &path, uint64_t seed,
                  const std::string &prefix = "model.layers.1.mlp.",
                  bool without = false) {
    HostTensor router = random("router_weight", 0, seed),
               w13 = random("w13", 0, seed), w2 = random("w2", 0, seed),
               shared13 = random("shared_w13", 0, seed),
               shared2 = random("shared_w2", 0, seed);
    std::vector<std::pair<std::string, moert::TensorView>> tensors = {
        {"gate.weight", viewOf(router)},
        {"shared_experts.gate_proj.weight", viewOf(shared13, {20, 16})},
        {"shared_experts.up_proj.weight", viewOf(shared13, {20, 16}, 20 * 16)},
        {"shared_experts.down_proj.weight", viewOf(shared2)}};
    for (int64_t e = without ? 1 : 0; e < 8; ++e) {
      const std::string expert = "experts." + std::to_string(e);
      tensors.push_back({expert + ".gate_proj.weight",
                         viewOf(w13, {12, 16}, (2 * e) * 12 * 16)});
      tensors.push_back({expert + ".up_proj.weight",
                         viewOf(w13, {12, 16}, (2 * e + 1) * 12 * 16)});
      tensors.push_back(
          {expert + ".down_proj.weight", viewOf(w2, {16, 12}, e * 16 * 12)});
    }
    for (auto &[name, view] : tensors)
      name = prefix + name;
    writeTensors(path, tensors);
  }

  /// The outputs of a run with these arguments for T rows.
  std::vector<float> outputOf(const std::string &arguments, int64_t T) {
    Finished run = this->run(arguments + " --output y.safetensors");
    EXPECT_EQ(run.code, 0) << run.err;
    return readOutput(file("y.safetensors"), T);
  }

  void expectBadInput(const std::string &arguments,
                      const std::string &message) {
    Finished run = this->run(arguments + " --output y.safetensors");
    EXPECT_EQ(run.code, 2) << arguments;
    EXPECT_PRED2(contains, run.err, "moe-run: " + message);
    EXPECT_EQ(run.out, "");
    EXPECT_FALSE(std::filesystem::exists(file("y.safetensors")));
  }
};

TEST_F(FilesTest, RowsComeFromAFile) {
  writeTensors(file("x.safetensors"),
               {{"hidden_states", viewOf(random("hidden_states", 5))}});
  std::vector<float> read =
      outputOf(artefact("tiny") + " --input x.safetensors --check", 5);
  std::vector<float> made = outputOf(artefact("tiny") + " --num-tokens 5", 5);
  EXPECT_EQ(read, made);

  writeTensors(file("x.safetensors"),
               {{"hidden_states", viewOf(random("hidden_states", 5, 1))}});
  EXPECT_NE(outputOf(artefact("tiny") + " --input x.safetensors --check", 5),
            made);
}

TEST_F(FilesTest, SeedDecides) {
  std::vector<float> first = outputOf(artefact("tiny") + " --num-tokens 3", 3);
  EXPECT_EQ(outputOf(artefact("tiny") + " --num-tokens 3 --seed 0", 3), first);
  EXPECT_NE(outputOf(artefact("tiny") + " --num-tokens 3 --seed 1", 3), first);
}

TEST_F(FilesTest, RoutingComesFromAFile) {
  HostTensor x = random("hidden_states", 4, 0, true),
             ids = random("topk_ids", 4, 0, true),
             weights = random("topk_weights", 4, 0, true);
  writeTensors(file("x.safetensors"), {{"hidden_states", viewOf(x)},
                                       {"topk_ids", viewOf(ids)},
                                       {"topk_weights", viewOf(weights)}});
  std::vector<float> narrow =
      outputOf(artefact("tiny_given") + " --input x.safetensors --check", 4);
  // Ids of PyTorch are 64 bits wide.
  std::vector<int64_t> wide(ids.as<int32_t>(), ids.as<int32_t>() + 8);
  moert::TensorView view = viewOf(ids);
  view.dtype = moert::DType::I64;
  view.data = wide.data();
  view.bytes = 8 * wide.size();
  writeTensors(file("x.safetensors"), {{"hidden_states", viewOf(x)},
                                       {"topk_ids", view},
                                       {"topk_weights", viewOf(weights)}});
  EXPECT_EQ(
      outputOf(artefact("tiny_given") + " --input x.safetensors --check", 4),
      narrow);

  std::filesystem::remove(file("y.safetensors"));
  wide[5] = 8;
  writeTensors(file("x.safetensors"), {{"hidden_states", viewOf(x)},
                                       {"topk_ids", view},
                                       {"topk_weights", viewOf(weights)}});
  expectBadInput(
      artefact("tiny_given") + " --input x.safetensors",
      "'x.safetensors': expected 'topk_ids' within -1 .. 7 but row 2 "
      "has 8");
}

TEST_F(FilesTest, WeightsByTheNamesOfTheModel) {
  writeModel(file("w.safetensors"), 7);
  HostTensor x = random("hidden_states", 6, 7);
  writeTensors(file("x.safetensors"), {{"hidden_states", viewOf(x)}});
  const std::vector<float> made =
      outputOf(artefact("tiny") + " --num-tokens 6 --seed 7", 6);
  EXPECT_EQ(outputOf(artefact("tiny") + " --weights w.safetensors --input "
                                        "x.safetensors --check",
                     6),
            made);
  // Rows that no file gives are random, by the seed.
  EXPECT_EQ(outputOf(artefact("tiny") +
                         " --weights w.safetensors --num-tokens 6 --seed 7",
                     6),
            made);
}

TEST_F(FilesTest, WeightsOfAFolderAndOfAnIndex) {
  std::filesystem::create_directory(file("model"));
  writeModel(file("model/model.safetensors"), 7);
  const std::vector<float> made =
      outputOf(artefact("tiny") + " --num-tokens 6 --seed 7", 6);
  EXPECT_EQ(
      outputOf(artefact("tiny") + " --weights model --num-tokens 6 --seed 7",
               6),
      made);

  // Two shards; an index says which tensor is in which.
  HostTensor router = random("router_weight", 0, 7), w13 = random("w13", 0, 7),
             w2 = random("w2", 0, 7), shared13 = random("shared_w13", 0, 7),
             shared2 = random("shared_w2", 0, 7);
  std::filesystem::create_directory(file("shards"));
  writeTensors(file("shards/a.safetensors"),
               {{"router_weight", viewOf(router)}, {"w13", viewOf(w13)}});
  writeTensors(file("shards/b.safetensors"), {{"w2", viewOf(w2)},
                                              {"shared_w13", viewOf(shared13)},
                                              {"shared_w2", viewOf(shared2)}});
  const std::string index = "shards/model.safetensors.index.json";
  write(index, R"({"weight_map": {"router_weight": "a.safetensors",
    "w13": "a.safetensors", "w2": "b.safetensors",
    "shared_w13": "b.safetensors", "shared_w2": "b.safetensors"}})");
  EXPECT_EQ(outputOf(artefact("tiny") + " --weights " + index +
                         " --num-tokens 6 --seed 7 --check",
                     6),
            made);

  std::filesystem::remove(file("shards/b.safetensors"));
  std::filesystem::remove(file("y.safetensors"));
  Finished run = this->run(artefact("tiny") + " --weights " + index);
  EXPECT_EQ(run.code, 2);
  EXPECT_PRED2(contains, run.err, "b.safetensors");
}

/// An artefact without a map of names, and one whose map is not what the file
/// goes by: the layer's own names serve both.
TEST_F(FilesTest, WeightsByTheNamesOfTheInputs) {
  HostTensor w13 = random("w13", 0, 3), w2 = random("w2", 0, 3),
             shared13 = random("shared_w13", 0, 3),
             shared2 = random("shared_w2", 0, 3);
  writeTensors(file("w.safetensors"), {{"w13", viewOf(w13)},
                                       {"w2", viewOf(w2)},
                                       {"shared_w13", viewOf(shared13)},
                                       {"shared_w2", viewOf(shared2)}});
  EXPECT_EQ(outputOf(artefact("tiny_given") +
                         " --weights w.safetensors --num-tokens 6 --seed 3 "
                         "--check",
                     6),
            outputOf(artefact("tiny_given") + " --num-tokens 6 --seed 3", 6));
  std::filesystem::remove(file("y.safetensors"));
  expectBadInput(artefact("tiny") + " --weights w.safetensors",
                 "'w.safetensors': missing tensor for 'router_weight'");
}

/// Rows whose scores are equal may go to other experts than the reference's.
TEST_F(FilesTest, NearTiesAreReportedApart) {
  HostTensor router = random("router_weight", 0), w13 = random("w13", 0),
             w2 = random("w2", 0), shared13 = random("shared_w13", 0),
             shared2 = random("shared_w2", 0), x = random("hidden_states", 4);
  // Only the first element of a row counts, and row 2 has none.
  for (int64_t e = 0; e < 8; ++e)
    for (int64_t h = 0; h < 16; ++h)
      router.as<float>()[e * 16 + h] = h ? 0.0f : static_cast<float>(e + 1);
  for (int64_t row = 0; row < 4; ++row)
    x.as<float>()[row * 16] = row == 2 ? 0.0f : 1.0f;
  writeTensors(file("w.safetensors"), {{"router_weight", viewOf(router)},
                                       {"w13", viewOf(w13)},
                                       {"w2", viewOf(w2)},
                                       {"shared_w13", viewOf(shared13)},
                                       {"shared_w2", viewOf(shared2)}});
  writeTensors(file("x.safetensors"), {{"hidden_states", viewOf(x)}});
  const std::string flags =
      " --weights w.safetensors --input x.safetensors --check";
  Finished run = this->run(artefact("tiny") + flags);
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "3 of 4 compared");
  EXPECT_PRED2(contains, run.out,
               "1 row (2) whose experts' scores are equal in float32: they "
               "agree");
  run = this->run(artefact("last_of_ties") + flags);
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "experts may have been chosen otherwise");

  // With ties in all rows, nothing is left that must agree.
  for (int64_t row = 0; row < 4; ++row)
    x.as<float>()[row * 16] = 0.0f;
  writeTensors(file("x.safetensors"), {{"hidden_states", viewOf(x)}});
  EXPECT_EQ(this->run(artefact("tiny") + flags).code, 0);
  run = this->run(artefact("last_of_ties") + flags);
  EXPECT_EQ(run.code, 1);
  EXPECT_PRED2(contains, run.err,
               "moe-run: 'output' could not be checked: the choice of experts "
               "is a near tie in every row");
}

TEST_F(FilesTest, OtherDTypesAreConvertedWhenAsked) {
  LayerSpec layer = tinyLayer();
  layer.dtype = DType::BF16;
  HostTensor x = randomInput(layer, layerInputs(layer)[0], 4, 0);
  writeTensors(file("x.safetensors"), {{"hidden_states", viewOf(x)}});
  expectBadInput(
      artefact("tiny") + " --input x.safetensors",
      "'x.safetensors': expected 'hidden_states' of dtype f32 but got "
      "BF16; --convert-dtype converts it");
  Finished run = this->run(artefact("tiny") +
                           " --input x.safetensors --convert-dtype --check");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out,
               "'hidden_states' was converted from bf16 to f32");

  writeModel(file("w.safetensors"), 7);
  expectBadInput(
      artefact("tiny_bf16") + " --weights w.safetensors",
      "'w.safetensors': expected 'model.layers.1.mlp.gate.weight' of "
      "dtype bf16 but got f32");
  run = this->run(artefact("tiny_bf16") +
                  " --weights w.safetensors --convert-dtype --check");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_PRED2(contains, run.out, "'w13' was converted from f32 to bf16");
}

TEST_F(FilesTest, RefusesWeights) {
  expectBadInput(artefact("tiny") + " --weights none.safetensors",
                 "'none.safetensors': cannot open: No such file");
  write("junk.safetensors", "this is no safetensors file");
  expectBadInput(artefact("tiny") + " --weights junk.safetensors",
                 "'junk.safetensors': header has ");
  writeModel(file("w.safetensors"), 0, "model.layers.2.mlp.");
  expectBadInput(artefact("tiny") + " --weights w.safetensors",
                 "'w.safetensors': expected tensors of layer 1 but the file "
                 "holds layers 2");
  writeModel(file("w.safetensors"), 0, "model.layers.1.mlp.", true);
  expectBadInput(artefact("tiny") + " --weights w.safetensors",
                 "'w.safetensors': missing tensor "
                 "'model.layers.1.mlp.experts.0.gate_proj.weight'");
}

TEST_F(FilesTest, RefusesRows) {
  const std::string flags = " --input x.safetensors";
  HostTensor x = random("hidden_states", 4);
  auto expect = [&](const std::string &name, const std::string &message) {
    expectBadInput(artefact(name) + flags, "'x.safetensors': " + message);
  };
  expectBadInput(artefact("tiny") + flags,
                 "'x.safetensors': cannot open: No such file");
  write("x.safetensors", std::string("\x08\0\0\0\0\0\0\0{\"a\": 1 ", 16));
  expectBadInput(artefact("tiny") + flags, "'x.safetensors': header ");

  writeTensors(file("x.safetensors"), {{"x", viewOf(x)}});
  expect("tiny", "missing tensor 'hidden_states': expected shape [T, 16]");
  writeTensors(file("x.safetensors"), {{"hidden_states", viewOf(x, {8, 8})}});
  expect("tiny", "expected 'hidden_states' of shape [T, 16] but got [8, 8]");
  writeTensors(file("x.safetensors"), {{"hidden_states", viewOf(x, {64})}});
  expect("tiny", "expected 'hidden_states' of shape [T, 16] but got [64]");
  writeTensors(file("x.safetensors"),
               {{"hidden_states", viewOf(x)}, {"y", viewOf(x)}});
  expect("tiny", "unexpected tensor 'y'");

  HostTensor ids = random("topk_ids", 4, 0, true),
             weights = random("topk_weights", 4, 0, true);
  writeTensors(file("x.safetensors"), {{"hidden_states", viewOf(x)},
                                       {"topk_ids", viewOf(ids)},
                                       {"topk_weights", viewOf(weights)}});
  expect("tiny", "'topk_ids' cannot be used: 'tiny' has a router, which "
                 "chooses the experts itself");
  writeTensors(file("x.safetensors"), {{"hidden_states", viewOf(x)},
                                       {"topk_ids", viewOf(weights)},
                                       {"topk_weights", viewOf(weights)}});
  expect("tiny_given", "expected 'topk_ids' of dtype i32 but got F32\n");
  writeTensors(file("x.safetensors"), {{"hidden_states", viewOf(x)},
                                       {"topk_ids", viewOf(ids, {3, 2})},
                                       {"topk_weights", viewOf(weights)}});
  expect("tiny_given", "expected 'topk_ids' of shape [4, 2] but got [3, 2]");
}

TEST_F(FilesTest, RowsAndNumTokensAgree) {
  writeTensors(file("x.safetensors"),
               {{"hidden_states", viewOf(random("hidden_states", 5))}});
  const std::string flags = " --input x.safetensors";
  expectBadInput(artefact("tiny") + flags + " --num-tokens 4",
                 "--num-tokens: expected the 5 rows of 'x.safetensors' but got "
                 "4");
  expectBadInput(artefact("tiny_static_4") + flags,
                 "'x.safetensors': expected 4 rows, which 'tiny' was compiled "
                 "for, but got 5");
  EXPECT_EQ(run(artefact("tiny") + flags + " --num-tokens 5").code, 0);
}

TEST_F(FilesTest, OutputIsWholeOrNotThere) {
  Finished run = this->run(artefact("tiny") + " --output none/y.safetensors");
  EXPECT_EQ(run.code, 1);
  EXPECT_PRED2(contains, run.err, "none/y.safetensors");
}

} // namespace
