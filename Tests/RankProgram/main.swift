// What a rank does in the tests of Collectives: run under mpirun, it checks every operation with
// values that depend on the rank and on the element, and prints one line per rank when all hold.

import Collectives
import Foundation

func require(_ holds: Bool, _ what: String, line: Int = #line) {
  if holds { return }
  FileHandle.standardError.write(Data("failed at line \(line): \(what)\n".utf8))
  exit(3)
}

@inline(never) func computeForEver() {
  while true { usleep(1000) }
}

let ranks = try Launcher(environment: ProcessInfo.processInfo.environment).makeCommunicator()
let (rank, size) = (ranks.rank, ranks.worldSize)
let total = size * (size + 1) / 2  // Σ (rank + 1)

switch CommandLine.arguments.dropFirst().first ?? "all" {
case "all":
  for count in [0, 1, 2, 1000, 100_003] {
    var floats = (0..<count).map { Float((rank + 1) * ($0 % 97 + 1)) }
    try floats.withUnsafeMutableBufferPointer { try ranks.allReduce($0, .sum) }
    require(floats == (0..<count).map { Float(total * ($0 % 97 + 1)) }, "sum of \(count) floats")
    var doubles = (0..<count).map { Double(rank * 1000 + $0) }
    try doubles.withUnsafeMutableBufferPointer { try ranks.allReduce($0, .max) }
    require(doubles == (0..<count).map { Double((size - 1) * 1000 + $0) }, "maximum of \(count)")
    var integers = (0..<count).map { Int64($0 - rank) }
    try integers.withUnsafeMutableBufferPointer { try ranks.allReduce($0, .min) }
    require(integers == (0..<count).map { Int64($0 - size + 1) }, "minimum of \(count)")
  }
  for root in 0..<size {
    var bytes = (0..<1000).map { UInt8(($0 + rank * 31) % 256) }
    try bytes.withUnsafeMutableBytes { try ranks.broadcast($0, from: root) }
    require(bytes == (0..<1000).map { UInt8(($0 + root * 31) % 256) }, "broadcast from \(root)")
    let text = try ranks.broadcast("rank \(rank) says é", from: root)
    require(text == "rank \(root) says é", "text from \(root)")
  }
  // Blocks of different lengths, the first one empty.
  let blocks = try ranks.allGather([UInt8](repeating: UInt8(rank + 1), count: rank * 3))
  require(
    blocks == (0..<size).map { [UInt8](repeating: UInt8($0 + 1), count: $0 * 3) }, "gathered")
  require(try ranks.allGather([]) == Array(repeating: [], count: size), "gathered nothing")
  try ranks.barrier()
  print("rank \(rank) of \(size) agrees")
case "started":
  // Four sums under way at once, three times over, finished in another order than they were begun,
  // and not in the same order everywhere.
  let floats = UnsafeMutableBufferPointer<Float>.allocate(capacity: 15_000)
  let halves = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: 999)
  let parts = [0..<7000, 7000..<7001, 7001..<15_000]
  let sums = parts.map { ranks.prepareSum(of: .init(rebasing: floats[$0])) }
  let halfSum = ranks.prepareSum(ofBFloat16: halves)
  require(try sums[0].isDone(), "nothing is under way before the start")
  for round in 0..<3 {
    for index in 0..<15_000 { floats[index] = Float((rank + 1) * (index % 97 + round)) }
    for index in 0..<999 {
      halves[index] = UInt16(Float((rank + 1) * (index % 7)).bitPattern >> 16)
    }
    for sum in sums { try sum.start() }
    try halfSum.start()
    if rank % 2 == 0 { try halfSum.wait() }
    while try !sums[1].isDone() {}
    try sums[0].wait()
    try sums[2].wait()
    try halfSum.wait()
    require(try sums[1].isDone(), "a sum that is done stays done")
    require(
      (0..<15_000).allSatisfy { floats[$0] == Float(total * ($0 % 97 + round)) },
      "sums that overlapped")
    // Whole numbers up to 256 are exact in bfloat16.
    require(
      (0..<999).allSatisfy { halves[$0] == UInt16(Float(total * ($0 % 7)).bitPattern >> 16) },
      "bfloat16 sum")
  }
  // Beyond 256 they are not: 256 + 1 and 256 + 3 are ties, which go to the even one.
  if size > 1 {
    halves.update(repeating: 0)
    if rank == 0 { (halves[0], halves[1]) = (0x4380, 0x4380) }
    if rank == size - 1 { (halves[0], halves[1]) = (0x3f80, 0x4040) }
    try halfSum.start()
    try halfSum.wait()
    require(halves[0] == 0x4380 && halves[1] == 0x4382, "ties are rounded to even")
  }
  print("rank \(rank) of \(size) agrees")
case "shared":
  require(ranks.isOneNode && ranks.nodeRank == rank, "one node")
  guard let memory = try ranks.shareMemory(byteCount: 4096 * (rank + 1)) else {
    require(false, "shared memory")
    exit(3)
  }
  require(memory.segments.allSatisfy { Int(bitPattern: $0.baseAddress) % 64 == 0 }, "cache lines")
  let own = memory.segments[rank].assumingMemoryBound(to: Int.self)
  let ownCount = 512 * (rank + 1)
  require((0..<ownCount).allSatisfy { own[$0] == 0 }, "zero at first")
  for round in 1...50 {
    for index in 0..<ownCount { own[index] = 1000 * rank + index + round }
    memory.publish()
    try ranks.barrier()
    memory.publish()
    for other in 0..<size {
      let values = memory.segments[other].assumingMemoryBound(to: Int.self)
      require(
        (0..<512 * (other + 1)).allSatisfy { values[$0] == 1000 * other + $0 + round },
        "what rank \(other) wrote in round \(round)")
    }
    try ranks.barrier()
  }
  print("rank \(rank) of \(size) agrees")
case "abort":
  // The last rank cannot go on; the others wait for it, and are ended.
  if rank == size - 1 { ranks.abort(status: 42) }
  try ranks.barrier()
case "unequal":
  // Counts that differ are a caller's mistake; MPI tells one rank at least.
  var values = [Double](repeating: 1, count: rank == 0 ? 4 : 8)
  do {
    try values.withUnsafeMutableBufferPointer { try ranks.allReduce($0, .sum) }
  } catch {
    FileHandle.standardError.write(Data("\(error)\n".utf8))
    ranks.abort(status: 69)
  }
  try ranks.barrier()
case "stuck":
  // The last rank computes for ever; the others wait for it.
  let watch = try RankWatch(ranks, timeout: 2, status: 75)
  watch?.expectProgress(timeout: 2, advice: "")
  RankActivity.note(.differentiating, step: 7)
  if rank == size - 1 { computeForEver() }
  try ranks.barrier()
  withExtendedLifetime(watch) {}
case "slow":
  // The last rank is slow, but comes further: nobody is given up.
  let watch = try RankWatch(ranks, timeout: 1, status: 75)
  watch?.expectProgress(timeout: 1, advice: "")
  if rank == size - 1 {
    for _ in 0..<8 {
      usleep(400_000)
      RankActivity.tick()
    }
  }
  try ranks.barrier()
  withExtendedLifetime(watch) {}
  print("rank \(rank) of \(size) agrees")
case "waiting":
  // Nobody is at fault that can be seen: some wait for a sum, the others for a broadcast.
  let watch = try RankWatch(ranks, timeout: 2, status: 75)
  watch?.expectProgress(timeout: 2, advice: "")
  if rank == 0 {
    try ranks.barrier()
  } else {
    var values = [Double](repeating: 1, count: 1_000_000)
    try values.withUnsafeMutableBufferPointer { try ranks.allReduce($0, .sum) }
  }
  withExtendedLifetime(watch) {}
default:
  require(false, "no such case")
}
try ranks.finalize()
