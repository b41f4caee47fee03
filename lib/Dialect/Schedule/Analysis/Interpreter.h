//===- Interpreter.h - Walks a schedule path by path ------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_DIALECT_SCHEDULE_ANALYSIS_INTERPRETER_H
#define MOE_MLIR_LIB_DIALECT_SCHEDULE_ANALYSIS_INTERPRETER_H

#include "moe-mlir/Dialect/Schedule/Analysis/HappensBefore.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/CallInterfaces.h"
#include "llvm/ADT/DenseSet.h"

namespace moe::schedule {

/// A set that grows as members are numbered.
class GrowingSet {
public:
  bool contains(unsigned id) const { return id < bits.size() && bits[id]; }
  void insert(unsigned id) {
    reserve(id + 1);
    bits.set(id);
  }
  void insertRange(unsigned begin, unsigned end) {
    reserve(end);
    if (begin < end)
      bits.set(begin, end);
  }
  void erase(unsigned id) {
    if (id < bits.size())
      bits.reset(id);
  }
  void unite(const GrowingSet &other) { bits |= other.bits; }
  void intersect(const GrowingSet &other) { bits &= other.bits; }
  const llvm::BitVector &get() const { return bits; }

private:
  void reserve(unsigned size) {
    if (bits.size() < size)
      bits.resize(size);
  }
  llvm::BitVector bits;
};

/// What a collective is to the other ranks.
struct Collective {
  std::string communicator;
  std::string name;
  /// The condition of a branch that all ranks take alike.
  mlir::Value condition;
  mlir::Operation *op;

  bool matches(const Collective &other) const {
    return communicator == other.communicator && name == other.name &&
           condition == other.condition;
  }
};

/// Interprets the body of one function and fills a HappensBefore.
class Interpreter {
public:
  Interpreter(HappensBefore &result, mlir::FunctionOpInterface function);
  void run();

private:
  /// Streams are numbered as they are met.
  static constexpr unsigned hostStream = 0;
  static constexpr unsigned computeStream = 1;

  /// What holds at one point of one path.
  struct Path {
    /// Per stream: the work that is complete before its next work.
    llvm::SmallVector<GrowingSet, 4> done;
    /// Buffers that have been written.
    GrowingSet written;
    /// Writes (indices into `writes`) that no other has replaced.
    GrowingSet reaching;
  };

  /// One op's write to one buffer; both visits of a loop share it.
  struct Write {
    mlir::Operation *op;
    BufferId buffer;
    bool isRead = false;
    std::optional<WorkId> overwrittenBy;
  };

  /// An access of a buffer by earlier work.
  struct PastAccess {
    WorkId work;
    Access access;
  };

  /// Two pieces of work that nothing orders but should.
  struct Unordered {
    WorkId before;
    WorkId after;
    FindingKind kind;
    Access first;
    Access second;
  };

  // Traversal (Interpreter.cpp).
  void visit(mlir::Block &block, RunOp run);
  void visit(mlir::Operation *op, RunOp run);
  void checkCallee(mlir::CallOpInterface call);
  void visitRun(RunOp run);
  void visitBranch(mlir::Operation *op, mlir::Value condition, RunOp run);
  void visitLoop(mlir::Operation *op, RunOp run);
  void visitEffects(mlir::Operation *op, RunOp run);
  void visitReturn(mlir::Operation *op);
  GrowingSet &doneOn(unsigned stream);
  unsigned getStream(StreamAttr stream);
  WorkId addWork(Work::Kind kind, mlir::Operation *op, RunOp run,
                 unsigned stream, llvm::SmallVector<Access, 4> accesses);
  void join(llvm::MutableArrayRef<Path> paths,
            llvm::ArrayRef<std::pair<WorkId, WorkId>> ranges);

  // Checks (Checks.cpp).
  void checkOrder(WorkId id);
  void checkOrder(WorkId id, const Access &access, BufferId buffer);
  void addUnordered(Unordered pair);
  void checkSlotsOfOneWork(WorkId id);
  void checkReads(WorkId id);
  void checkWrites(WorkId id);
  void markRead(BufferId buffer);
  void checkCollective(WorkId id, mlir::Operation *op);
  void compareArms(mlir::Operation *op, mlir::Value condition,
                   llvm::ArrayRef<llvm::SmallVector<Collective, 2>> arms);
  void reportRankDependence(mlir::Operation *op, llvm::StringRef what,
                            mlir::Value cause);
  void checkUniformLoop(mlir::Operation *op, size_t firstCollective);
  void checkJoins(WorkId exit);
  void checkOutputs(WorkId exit);
  void finish();

  // Messages (Findings.cpp).
  void report(WorkId at, Finding finding);
  void report(FindingKind kind, mlir::Operation *op, mlir::Operation *other,
              const llvm::Twine &message, const llvm::Twine &note = "",
              mlir::Value buffer = {}) {
    report(result.work.size(),
           {kind, op, other, buffer, buffer, message.str(), note.str()});
  }
  void reportUnordered(const Unordered &pair);
  std::string describe(WorkId id) const;
  std::string describeBuffer(BufferId buffer) const;
  mlir::Value getRoot(BufferId buffer) const;

  bool precedes(WorkId first, WorkId second) const {
    return first == second || result.isBefore(first, second);
  }

  HappensBefore &result;
  mlir::FunctionOpInterface function;
  Path path;
  unsigned arm = 0;
  unsigned numBranches = 0;
  llvm::SmallVector<StreamAttr, 4> streams;
  std::vector<unsigned> streamOf; ///< By work.
  llvm::DenseMap<mlir::Value, GrowingSet> events;

  std::vector<llvm::SmallVector<PastAccess>> accessesOf; ///< By buffer.
  std::vector<llvm::SmallVector<unsigned>> writesOf;     ///< By buffer.
  std::vector<Write> writes;
  llvm::DenseMap<std::pair<mlir::Operation *, BufferId>, unsigned> writeIds;
  llvm::DenseMap<BufferId, WorkId> clobberedBy;

  llvm::SmallVector<Collective, 2> collectives;
  bool recordCollectives = true;
  std::vector<std::pair<std::string, WorkId>> collectiveWork;

  std::vector<Unordered> unordered;
  size_t firstOfWork = 0; ///< Of `unordered`, for the work being added.
  /// Findings with the work in whose place they are listed.
  std::vector<std::pair<WorkId, Finding>> findings;
  llvm::DenseSet<
      std::tuple<unsigned, mlir::Operation *, mlir::Operation *, mlir::Value>>
      reported;
};

} // namespace moe::schedule

#endif // MOE_MLIR_LIB_DIALECT_SCHEDULE_ANALYSIS_INTERPRETER_H
