import Checkpointing
import Foundation
import Synchronization
import TestSupport
import Testing

@Suite struct BackgroundWriterTests {
  static let failure = CheckpointError.unwritable(path: "a", reason: "the disk is full")

  @Test func whatIsSubmittedIsWrittenInOrder() throws {
    let order = TestBox(Mutex<[Int]>([]))
    let writer = BackgroundWriter(retrySeconds: 60)
    for number in 0..<20 {
      writer.submit {
      } write: { () throws(CheckpointError) in
        order.value.withLock { $0.append(number) }
      }
    }
    try writer.finish(within: 5)
    #expect(order.value.withLock { $0 } == Array(0..<20))
    #expect(writer.takeNews().isEmpty)
  }

  @Test func whatFailsIsTriedAgainAndSaidOnce() throws {
    let attempts = TestBox(Mutex(0))
    let writer = BackgroundWriter(retrySeconds: 0.01)
    writer.submit {
    } write: { () throws(CheckpointError) in
      if attempts.value.withLock({ count in
        count += 1
        return count < 5
      }) {
        throw Self.failure
      }
    }
    try writer.finish(within: 5)
    #expect(attempts.value.withLock { $0 } == 5)
    #expect(writer.takeNews() == [.failed(Self.failure), .recovered])
  }

  @Test func theNewestTakesThePlaceOfWhatCannotBeWritten() throws {
    let (isFull, written) = (TestBox(Mutex(true)), TestBox(Mutex<[Int]>([])))
    let writer = BackgroundWriter(retrySeconds: 60)
    for number in 0..<3 {
      writer.submit {
      } write: { () throws(CheckpointError) in
        if isFull.value.withLock({ $0 }) { throw Self.failure }
        written.value.withLock { $0.append(number) }
      }
    }
    #expect(throws: Self.failure) { try writer.finish(within: 0.5) }
    isFull.value.withLock { $0 = false }
    // Given up: what comes next is written alone.
    writer.submit {
    } write: { () throws(CheckpointError) in
      written.value.withLock { $0.append(3) }
    }
    try writer.finish(within: 5)
    #expect(written.value.withLock { $0 } == [3])
  }

  @Test func nothingIsCopiedWhileSomethingIsWritten() throws {
    let isWriting = TestBox(Mutex(false))
    let overlaps = TestBox(Mutex(0))
    let writer = BackgroundWriter(retrySeconds: 60)
    for _ in 0..<5 {
      writer.submit {
        if isWriting.value.withLock({ $0 }) { overlaps.value.withLock { $0 += 1 } }
      } write: { () throws(CheckpointError) in
        isWriting.value.withLock { $0 = true }
        Thread.sleep(forTimeInterval: 0.02)
        isWriting.value.withLock { $0 = false }
      }
    }
    try writer.finish(within: 5)
    #expect(overlaps.value.withLock { $0 } == 0)
  }
}

/// Something that closures share.
final class TestBox<Value: ~Copyable & Sendable>: Sendable {
  let value: Value
  init(_ value: consuming Value) { self.value = value }
}
