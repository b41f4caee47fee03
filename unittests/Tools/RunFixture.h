//===- RunFixture.h - Command lines of moe-run ------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_UNITTESTS_TOOLS_RUNFIXTURE_H
#define MOE_MLIR_UNITTESTS_TOOLS_RUNFIXTURE_H

#include "moe-mlir/Reference/Tensor.h"
#include "moert/Safetensors.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace moe::test {

/// What a command wrote, and its exit code.
struct Finished {
  int code = -1;
  std::string out, err;
};

/// For EXPECT_PRED2, which shows both texts.
inline bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

/// Runs moe-run's binary in a folder of the test's own.
class RunTest : public testing::Test {
protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "moe-toolsXXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  std::string file(const std::string &name) const {
    return folder + "/" + name;
  }

  static std::string artefact(const std::string &name) {
    return std::string(ARTEFACTS) + "/" + name + ".moe.so";
  }

  static std::string read(const std::string &path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  std::string write(const std::string &name, const std::string &text) const {
    std::ofstream(file(name), std::ios::binary) << text;
    return file(name);
  }

  /// Runs `command` with `arguments`, a piece of shell.
  Finished run(const std::string &arguments,
               const std::string &command = MOE_RUN) const {
    const std::string out = file("stdout"), err = file("stderr");
    int status = std::system(("cd '" + folder + "' && " + command + " " +
                              arguments + " >" + out + " 2>" + err)
                                 .c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read(out), read(err)};
  }

  /// Writes tensors to a file under these names.
  void writeTensors(
      const std::string &path,
      const std::vector<std::pair<std::string, moert::TensorView>> &tensors) {
    std::vector<moert::TensorView> views;
    for (const auto &[name, view] : tensors) {
      views.push_back(view);
      views.back().name = name;
    }
    moert::Result<void> written = moert::writeSafetensors(path, views);
    ASSERT_TRUE(written) << written.error();
  }

  /// The data of `output`, after checking its shape.
  static std::vector<float> readOutput(const std::string &path, int64_t T) {
    moert::Result<moert::SafetensorsFile> file =
        moert::SafetensorsFile::open(path);
    EXPECT_TRUE(file) << file.error();
    const moert::TensorView *output = file ? file->find("output") : nullptr;
    if (!output) {
      ADD_FAILURE() << "no 'output' in " << path;
      return {};
    }
    EXPECT_EQ(output->shape, (std::vector<int64_t>{T, 16}));
    EXPECT_EQ(output->dtype, moert::DType::F32);
    std::vector<float> values(output->bytes / sizeof(float));
    std::memcpy(values.data(), output->data, output->bytes);
    return values;
  }

  std::string folder;
};

/// A view of `tensor`, or of a part of it that starts at element `first`.
inline moert::TensorView viewOf(const HostTensor &tensor,
                                std::vector<int64_t> shape, int64_t first = 0) {
  moert::TensorView view;
  view.name = tensor.name();
  view.dtype = tensor.dtype() == DType::F32    ? moert::DType::F32
               : tensor.dtype() == DType::BF16 ? moert::DType::BF16
                                               : moert::DType::I32;
  view.data = static_cast<const char *>(tensor.data()) +
              first * dtypeBytes(tensor.dtype());
  view.bytes = *moert::byteSize(view.dtype, shape);
  view.shape = std::move(shape);
  return view;
}

inline moert::TensorView viewOf(const HostTensor &tensor) {
  return viewOf(tensor, tensor.shape());
}

/// The layer of the artefact tiny, of its variant tiny_given with `given`.
inline LayerSpec tinyLayer(bool given = false) {
  LayerSpec layer;
  layer.name = "tiny";
  layer.hiddenSize = 16;
  layer.intermediateSize = 12;
  layer.numExperts = 8;
  layer.topK = 2;
  layer.shared.intermediateSize = 20;
  layer.shared.count = 1;
  if (given)
    layer.routing.source = RoutingSource::given;
  return layer;
}

} // namespace moe::test

#endif // MOE_MLIR_UNITTESTS_TOOLS_RUNFIXTURE_H
