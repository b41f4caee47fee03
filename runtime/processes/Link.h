//===- Link.h - Messages between two processes ------------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_PROCESSES_LINK_H
#define MOERT_PROCESSES_LINK_H

// Sockets with deadlines and timers in one thread.
#include <asio/ip/tcp.hpp>
#include <nlohmann/json.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>

namespace moert {

/// A connection that carries JSON values in both directions, as CBOR behind a
/// length of four bytes. All happens on the thread of the socket's executor.
class Link : public std::enable_shared_from_this<Link> {
public:
  using Clock = std::chrono::steady_clock;
  using Socket = asio::ip::tcp::socket;

  explicit Link(Socket socket) : socket(std::move(socket)) {}

  /// More is no message of ours.
  static constexpr uint32_t maxLength = 1u << 30;
  /// Takes no longer messages: a stranger's are short.
  void setLimit(uint32_t bytes) { limit = bytes; }

  std::function<void(const nlohmann::json &message)> onMessage;
  /// Called once, unless `close` was called before.
  std::function<void()> onClose;

  /// Starts to receive. The link keeps itself alive until it is closed.
  void start();
  void send(const nlohmann::json &message);
  /// Closes once all is sent.
  void finish();
  void close();

  bool isOpen() const { return socket.is_open(); }
  Clock::time_point lastHeard() const { return heard; }
  /// The other end's address, as text.
  std::string peerAddress() const;

private:
  void readLength();
  void readBody(uint32_t length);
  void write();
  void fail();

  Socket socket;
  unsigned char length[4];
  uint32_t limit = maxLength;
  std::string body;
  std::deque<std::string> queue;
  bool isFinishing = false;
  Clock::time_point heard = Clock::now();
};

} // namespace moert

#endif // MOERT_PROCESSES_LINK_H
