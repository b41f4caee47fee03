//===- Host.cpp - Schedules on emulated GPUs ------------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Host.h"
#include "Numbers.h"
#include "moe-mlir/Dialect/Schedule/IR/Schedule.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/FormatVariadic.h"
#include <cstring>

using namespace mlir;
using namespace moe;
using namespace moe::codegen::cuda::test;

namespace {
/// A number, or a buffer.
struct HostValue {
  int64_t number = 0;
  uint64_t address = 0;
  std::vector<int64_t> shape = {};
};

struct Rank {
  explicit Rank(EventOrder order) : machine(order) {}

  int64_t number = 0;
  int64_t tokens = 0;
  Machine machine;
  llvm::DenseMap<Value, HostValue> values;
};

class Host {
public:
  Host(int64_t count, EventOrder order) {
    for (int64_t i = 0; i < count; ++i) {
      ranks.push_back(std::make_unique<Rank>(order));
      ranks.back()->number = i;
    }
  }
  std::string run(func::FuncOp function,
                  std::vector<std::vector<Tensor *>> &arguments);

private:
  using Ranks = ArrayRef<Rank *>;
  void runBlock(Block &block, Ranks ranks);
  void runOp(Operation &op, Ranks ranks);
  void runCollective(schedule::CollectiveOp op, Ranks ranks);
  /// One op on one rank; false if it is not known.
  bool runAlone(Operation &op, Rank &rank);
  bool runArithmetic(Operation &op, Rank &rank);
  bool runMemRef(Operation &op, Rank &rank);
  void runLaunch(schedule::LaunchOp op, Rank &rank);
  bool runIf(scf::IfOp op, Ranks ranks);
  void upload(Rank &rank, Value argument, const Tensor &tensor);
  void download(Rank &rank, Value argument, Tensor &tensor);
  /// Says what is wrong with an op, unless something was before.
  void fail(Operation *op, const std::string &what) {
    if (error.empty())
      llvm::raw_string_ostream(error)
          << '\'' << op->getName() << "': " << what << "\n  " << *op;
  }
  int64_t sizeOf(Rank &rank, OpFoldResult size) {
    if (auto known = getConstantIntValue(size))
      return *known;
    return rank.values[cast<Value>(size)].number;
  }

  std::vector<std::unique_ptr<Rank>> ranks;
  std::string error;
};
} // namespace

static int64_t elementBytes(Value buffer) {
  return cast<MemRefType>(buffer.getType()).getElementTypeBitWidth() / 8;
}

static int64_t countOf(ArrayRef<int64_t> shape) {
  return llvm::product_of(shape);
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

void Host::runLaunch(schedule::LaunchOp op, Rank &rank) {
  auto gpu = op.getGpuAttr();
  auto kernel = SymbolTable::lookupNearestSymbolFrom<LLVM::LLVMFuncOp>(
      op, op.getKernelAttr());
  if (!gpu || !kernel) {
    error = "a launch of what is no kernel of a GPU";
    return;
  }
  SmallVector<Value> operands(op.getReads());
  llvm::append_range(operands, op.getWrites());
  std::vector<uint64_t> arguments;
  std::vector<TensorMap> maps;
  for (Attribute parameter : gpu.getParameters())
    llvm::TypeSwitch<Attribute>(parameter)
        .Case([&](schedule::PointerAttr p) {
          arguments.push_back(rank.values[operands[p.getOperand()]].address);
        })
        .Case([&](schedule::SizeAttr p) {
          arguments.push_back(
              rank.values[operands[p.getOperand()]].shape[p.getDim()]);
        })
        .Case([&](schedule::ScalarAttr p) {
          arguments.push_back(
              rank.values[op.getScalars()[p.getOperand()]].number);
        })
        .Case([&](schedule::TensorMapAttr p) {
          Value buffer = operands[p.getOperand()];
          const HostValue &value = rank.values[buffer];
          arguments.push_back(maps.size());
          maps.push_back({value.address, value.shape, p.getBox().vec(),
                          elementBytes(buffer), p.getSwizzle()});
        });
  GlobalMemory &memory = rank.machine.memory;
  memory.lockAll();
  for (Value buffer : op.getWrites())
    memory.setWritable(rank.values[buffer].address, true);
  LaunchShape shape{rank.values[op.getGrid()].number, gpu.getThreads(),
                    gpu.getSharedBytes(), gpu.getCluster(),
                    gpu.getEarlyStart()};
  error = rank.machine.launch(kernel, shape, arguments, maps);
}

//===----------------------------------------------------------------------===//
// Sizes and buffers
//===----------------------------------------------------------------------===//

bool Host::runArithmetic(Operation &op, Rank &rank) {
  auto number = [&](unsigned i) {
    return rank.values[op.getOperand(i)].number;
  };
  auto binary = [&](auto function) {
    return std::optional<int64_t>(function(number(0), number(1)));
  };
  auto result =
      llvm::TypeSwitch<Operation *, std::optional<int64_t>>(&op)
          .Case([&](arith::ConstantOp constant) -> std::optional<int64_t> {
            auto value = dyn_cast<IntegerAttr>(constant.getValue());
            if (!value)
              return std::nullopt;
            return value.getType().isInteger(1)
                       ? value.getValue().getZExtValue()
                       : value.getInt();
          })
          .Case([&](arith::AddIOp) { return binary(std::plus<>()); })
          .Case([&](arith::SubIOp) { return binary(std::minus<>()); })
          .Case([&](arith::MulIOp) { return binary(std::multiplies<>()); })
          .Case<arith::DivUIOp, arith::DivSIOp>(
              [&](Operation *) { return binary(std::divides<>()); })
          .Case<arith::CeilDivUIOp, arith::CeilDivSIOp>([&](Operation *) {
            return binary([](int64_t a, int64_t b) { return (a + b - 1) / b; });
          })
          .Case<arith::RemUIOp, arith::RemSIOp>(
              [&](Operation *) { return binary(std::modulus<>()); })
          .Case<arith::MinSIOp, arith::MinUIOp>([&](Operation *) {
            return binary([](int64_t a, int64_t b) { return std::min(a, b); });
          })
          .Case<arith::MaxSIOp, arith::MaxUIOp>([&](Operation *) {
            return binary([](int64_t a, int64_t b) { return std::max(a, b); });
          })
          .Case([&](arith::CmpIOp compare) {
            return binary([&](int64_t a, int64_t b) {
              return arith::applyCmpPredicate(compare.getPredicate(),
                                              APInt(64, a), APInt(64, b));
            });
          })
          .Case([&](arith::AndIOp) { return binary(std::bit_and<>()); })
          .Case([&](arith::OrIOp) { return binary(std::bit_or<>()); })
          .Case([&](arith::SelectOp) {
            return std::optional<int64_t>(number(0) ? number(1) : number(2));
          })
          .Case([&](arith::IndexCastOp) {
            return std::optional<int64_t>(number(0));
          })
          .Case([&](memref::DimOp dim) -> std::optional<int64_t> {
            return rank.values[dim.getSource()].shape[number(1)];
          })
          .Case([&](schedule::RankOp) {
            return std::optional<int64_t>(rank.number);
          })
          .Case([&](schedule::TotalTokensOp op) {
            schedule::PartAttr part = op.getPartAttr();
            int64_t sum = 0;
            for (const auto &other : ranks)
              sum += part ? part.getTokens(other->tokens) : other->tokens;
            return std::optional<int64_t>(sum);
          })
          .Case([&](schedule::MaxTokensOp) {
            int64_t most = 0;
            for (const auto &other : ranks)
              most = std::max(most, other->tokens);
            return std::optional<int64_t>(most);
          })
          .Default([](Operation *) { return std::nullopt; });
  if (!result)
    return false;
  rank.values[op.getResult(0)].number = *result;
  return true;
}

bool Host::runMemRef(Operation &op, Rank &rank) {
  auto take = [&](Value result, uint64_t address, ArrayRef<int64_t> shape) {
    rank.values[result] = {0, address, shape.vec()};
    return true;
  };
  auto sizesOf = [&](ArrayRef<OpFoldResult> sizes) {
    return llvm::map_to_vector(
        sizes, [&](OpFoldResult size) { return sizeOf(rank, size); });
  };
  return llvm::TypeSwitch<Operation *, bool>(&op)
      .Case([&](memref::AllocOp alloc) {
        SmallVector<int64_t> shape = sizesOf(alloc.getMixedSizes());
        bool isFloat = isa<FloatType>(alloc.getType().getElementType());
        return take(alloc,
                    rank.machine.memory.allocate(
                        countOf(shape) * elementBytes(alloc), "a temporary",
                        isFloat ? char(0xFF) : 0x7B),
                    shape);
      })
      .Case([&](memref::ExpandShapeOp expand) {
        return take(expand, rank.values[expand.getSrc()].address,
                    sizesOf(expand.getMixedOutputShape()));
      })
      .Case([&](schedule::RowsOp view) {
        HostValue source = rank.values[view.getSource()];
        int64_t bytes = countOf(ArrayRef(source.shape).drop_front()) *
                        elementBytes(view.getSource());
        source.shape.front() =
            view.getSize() ? rank.values[view.getSize()].number
                           : cast<MemRefType>(view.getType()).getDimSize(0);
        return take(
            view, source.address + rank.values[view.getFirst()].number * bytes,
            source.shape);
      })
      .Case([&](memref::CastOp cast) {
        HostValue source = rank.values[cast.getSource()];
        return take(cast, source.address, source.shape);
      })
      .Default([](Operation *) { return false; });
}

//===----------------------------------------------------------------------===//
// Collectives
//===----------------------------------------------------------------------===//

namespace {
/// Rows of a buffer of one rank.
struct Rows {
  Rows(Rank &rank, Value buffer)
      : rank(rank), value(rank.values[buffer]),
        bytes(countOf(ArrayRef(value.shape).drop_front()) *
              elementBytes(buffer)) {}

  char *at(int64_t row) {
    return rank.machine.memory.data(value.address) + row * bytes;
  }
  uint8_t *written(int64_t row) {
    return rank.machine.memory.written(value.address) + row * bytes;
  }
  /// Copies rows with what is known of them.
  bool copy(int64_t first, Rows &from, int64_t source, int64_t count) {
    if (first + count > value.shape[0] || source + count > from.value.shape[0])
      return false;
    std::memcpy(at(first), from.at(source), count * bytes);
    std::memcpy(written(first), from.written(source), count * bytes);
    return true;
  }

  Rank &rank;
  const HostValue &value;
  int64_t bytes;
};
} // namespace

/// How many rows each rank sends to each: [from][to].
static std::vector<std::vector<int64_t>>
getBlocks(schedule::CollectiveOp op, ArrayRef<Rank *> ranks, Value send) {
  size_t count = ranks.size();
  std::vector blocks(count, std::vector<int64_t>(count));
  for (size_t from = 0; from < count; ++from)
    for (size_t to = 0; to < count; ++to) {
      int64_t &rows = blocks[from][to];
      if (!op.getCounts().empty()) {
        Rows counts(*ranks[from], op.getCounts()[0]);
        int32_t number;
        std::memcpy(&number, counts.at(0) + to * sizeof(number),
                    sizeof(number));
        rows = number;
      } else if (auto sizes = op.getBlocks()) {
        rows = (*sizes)[op.getBlocksBySource() ? from : to];
      } else {
        rows = ranks[from]->values[send].shape[0] / count;
      }
    }
  return blocks;
}

/// Elements of the sums of all ranks, in rank order.
static std::vector<float> sumRows(ArrayRef<Rank *> ranks, Value send) {
  Type element = cast<MemRefType>(send.getType()).getElementType();
  int64_t count = countOf(ranks[0]->values[send].shape);
  std::vector<float> sums(count);
  for (auto [number, rank] : llvm::enumerate(ranks))
    for (int64_t i = 0; i < count; ++i) {
      uint32_t bits = 0;
      std::memcpy(&bits, Rows(*rank, send).at(0) + i * elementBytes(send),
                  elementBytes(send));
      float value = element.isF32()    ? toFloat(bits)
                    : element.isBF16() ? toFloatB16(bits)
                                       : toFloat16(bits);
      sums[i] = number == 0 ? value : sums[i] + value;
    }
  return sums;
}

static void storeRows(Rank &rank, Value receive, ArrayRef<float> values) {
  Type element = cast<MemRefType>(receive.getType()).getElementType();
  Rows rows(rank, receive);
  for (auto [i, value] : llvm::enumerate(values)) {
    uint32_t bits = element.isF32()    ? fromFloat(value)
                    : element.isBF16() ? roundToBF16(value)
                                       : roundToF16(value);
    int64_t bytes = elementBytes(receive);
    std::memcpy(rows.at(0) + i * bytes, &bits, bytes);
    std::memset(rows.written(0) + i * bytes, 1, bytes);
  }
}

/// Moves what one pair of buffers holds between the ranks of one group; false
/// if there is no room for it.
static bool exchange(schedule::CollectiveOp op, ArrayRef<Rank *> group,
                     Value send, Value receive) {
  switch (op.getKind()) {
  case schedule::CollectiveKind::all_gather:
    for (Rank *to : group) {
      int64_t first = 0;
      Rows target(*to, receive);
      for (Rank *from : group) {
        Rows source(*from, send);
        if (!target.copy(first, source, 0, source.value.shape[0]))
          return false;
        first += source.value.shape[0];
      }
    }
    return true;
  case schedule::CollectiveKind::all_reduce:
  case schedule::CollectiveKind::reduce_scatter: {
    bool isAll = op.getKind() == schedule::CollectiveKind::all_reduce;
    std::vector<float> sums = sumRows(group, send);
    size_t first = 0;
    for (Rank *to : group) {
      size_t count = countOf(to->values[receive].shape);
      if (first + count > sums.size())
        return false;
      storeRows(*to, receive, ArrayRef(sums).slice(first, count));
      first += isAll ? 0 : count;
    }
    return true;
  }
  case schedule::CollectiveKind::all_to_all: {
    auto blocks = getBlocks(op, group, send);
    std::vector<int64_t> filled(group.size());
    for (size_t from = 0; from < group.size(); ++from) {
      int64_t source = 0;
      Rows sent(*group[from], send);
      for (size_t to = 0; to < group.size(); ++to) {
        Rows target(*group[to], receive);
        if (!target.copy(filled[to], sent, source, blocks[from][to]))
          return false;
        filled[to] += blocks[from][to];
        source += blocks[from][to];
      }
    }
    return true;
  }
  }
  llvm_unreachable("unknown collective");
}

void Host::runCollective(schedule::CollectiveOp op, Ranks members) {
  schedule::CommunicatorAttr communicator = op.getCommunicator();
  for (Rank *first : members) {
    SmallVector<int64_t> numbers = communicator.getGroup(first->number);
    if (numbers.front() != first->number)
      continue;
    SmallVector<Rank *> group;
    for (Rank *member : members)
      if (llvm::is_contained(numbers, member->number))
        group.push_back(member);
    if (group.size() != numbers.size())
      return fail(op, llvm::formatv("{0} of {1} ranks come together",
                                    group.size(), numbers.size()));
    for (auto [send, receive] :
         llvm::zip_equal(op.getSends(), op.getReceives()))
      if (!exchange(op, group, send, receive))
        return fail(op, "more rows come than there is room for");
  }
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

/// Ranks may decide differently; each side runs with those that take it.
bool Host::runIf(scf::IfOp op, Ranks members) {
  if (op.getNumResults())
    return false;
  SmallVector<Rank *> sides[2];
  for (Rank *rank : members)
    sides[rank->values[op.getCondition()].number != 0].push_back(rank);
  if (!sides[1].empty())
    runBlock(*op.thenBlock(), sides[1]);
  if (!sides[0].empty() && op.elseBlock())
    runBlock(*op.elseBlock(), sides[0]);
  return true;
}

bool Host::runAlone(Operation &op, Rank &rank) {
  if (auto launch = dyn_cast<schedule::LaunchOp>(op)) {
    runLaunch(launch, rank);
    return true;
  }
  return runArithmetic(op, rank) || runMemRef(op, rank);
}

void Host::runOp(Operation &op, Ranks members) {
  bool isKnown = true;
  if (auto run = dyn_cast<schedule::RunOp>(op))
    runBlock(run.getBody().front(), members);
  else if (auto branch = dyn_cast<scf::IfOp>(op))
    isKnown = runIf(branch, members);
  else if (auto collective = dyn_cast<schedule::CollectiveOp>(op))
    runCollective(collective, members);
  else if (!isa<schedule::MarkOp, scf::YieldOp, func::ReturnOp>(op))
    for (Rank *rank : members)
      isKnown &= runAlone(op, *rank);
  if (!isKnown)
    fail(&op, "is not emulated on the host");
}

void Host::runBlock(Block &block, Ranks members) {
  for (Operation &op : block) {
    if (!error.empty())
      return;
    runOp(op, members);
  }
}

void Host::upload(Rank &rank, Value argument, const Tensor &tensor) {
  GlobalMemory &memory = rank.machine.memory;
  std::string name = llvm::formatv(
      "argument {0}", cast<BlockArgument>(argument).getArgNumber());
  uint64_t address = memory.allocate(tensor.bytes.size(), name, 0);
  std::copy(tensor.bytes.begin(), tensor.bytes.end(), memory.data(address));
  int64_t width = bytesOf(tensor.element);
  for (int64_t i = 0; i < tensor.size(); ++i)
    std::fill_n(memory.written(address) + i * width, width, tensor.written[i]);
  rank.values[argument] = {0, address, tensor.shape};
}

void Host::download(Rank &rank, Value argument, Tensor &tensor) {
  GlobalMemory &memory = rank.machine.memory;
  uint64_t address = rank.values[argument].address;
  std::copy_n(memory.data(address), tensor.bytes.size(), tensor.bytes.begin());
  int64_t width = bytesOf(tensor.element);
  for (int64_t i = 0; i < tensor.size(); ++i)
    tensor.written[i] = memory.written(address)[i * width];
}

std::string Host::run(func::FuncOp function,
                      std::vector<std::vector<Tensor *>> &arguments) {
  SmallVector<Rank *> all;
  for (auto [rank, tensors] : llvm::zip_equal(ranks, arguments)) {
    all.push_back(rank.get());
    for (auto [argument, tensor] :
         llvm::zip_equal(function.getArguments(), tensors))
      upload(*rank, argument, *tensor);
    rank->tokens = tensors.empty() ? 0 : tensors.front()->rows();
  }
  runBlock(function.getBody().front(), all);
  for (auto [rank, tensors] : llvm::zip_equal(ranks, arguments))
    for (auto [argument, tensor] :
         llvm::zip_equal(function.getArguments(), tensors))
      download(*rank, argument, *tensor);
  return error;
}

std::string moe::codegen::cuda::test::runOnRanks(
    func::FuncOp function, std::vector<std::vector<Tensor *>> arguments,
    EventOrder order) {
  return Host(arguments.size(), order).run(function, arguments);
}
