//===- Link.cpp - Messages between two processes --------------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Link.h"

#include <asio/buffer.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>

using namespace moert;
using nlohmann::json;

void Link::start() {
  asio::error_code ignored;
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  readLength();
}

std::string Link::peerAddress() const {
  asio::error_code error;
  auto endpoint = socket.remote_endpoint(error);
  return error ? std::string() : endpoint.address().to_string();
}

void Link::fail() {
  if (!isOpen())
    return;
  std::function<void()> handler = std::move(onClose);
  close();
  if (handler)
    handler();
}

void Link::close() {
  asio::error_code ignored;
  socket.close(ignored);
  // Handlers may hold what holds this link.
  onMessage = nullptr;
  onClose = nullptr;
  queue.clear();
}

void Link::finish() {
  isFinishing = true;
  if (queue.empty() && isOpen())
    close();
}

void Link::readLength() {
  auto self = shared_from_this();
  asio::async_read(socket, asio::buffer(length),
                   [this, self](asio::error_code error, size_t) {
                     uint32_t bytes = 0;
                     for (unsigned char byte : length)
                       bytes = bytes << 8 | byte;
                     if (error || bytes > limit)
                       return fail();
                     readBody(bytes);
                   });
}

void Link::readBody(uint32_t bytes) {
  auto self = shared_from_this();
  body.resize(bytes);
  // A long message is a sign of life with each of its parts.
  auto noteLife = [this, self](asio::error_code error, size_t) -> size_t {
    constexpr size_t part = 1 << 16;
    heard = Clock::now();
    return error ? 0 : part;
  };
  asio::async_read(socket, asio::buffer(body), noteLife,
                   [this, self](asio::error_code error, size_t) {
                     if (error)
                       return fail();
                     json message = json::from_cbor(body, /*strict=*/true,
                                                    /*allow_exceptions=*/false);
                     if (!message.is_object())
                       return fail();
                     heard = Clock::now();
                     // The handler may close the link and so end itself.
                     auto handler = onMessage;
                     if (handler)
                       handler(message);
                     if (isOpen())
                       readLength();
                   });
}

void Link::send(const json &message) {
  if (!isOpen() || isFinishing)
    return;
  std::vector<uint8_t> bytes = json::to_cbor(message);
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8)
    text.push_back(char(bytes.size() >> shift & 0xff));
  text.append(bytes.begin(), bytes.end());
  queue.push_back(std::move(text));
  if (queue.size() == 1)
    write();
}

void Link::write() {
  auto self = shared_from_this();
  asio::async_write(socket, asio::buffer(queue.front()),
                    [this, self](asio::error_code error, size_t) {
                      if (error)
                        return fail();
                      if (!isOpen())
                        return;
                      queue.pop_front();
                      if (!queue.empty())
                        write();
                      else if (isFinishing)
                        close();
                    });
}
