// Feeds changed files to a reader: `fuzz-readers READER COUNT SEED FOLDER [CORPUS]`, or `fuzz-readers --files
// PATH …` for given ones. Whatever the bytes, a reader returns or throws, within 2 GB and 10 seconds; anything
// else ends this process, and the file is in the folder. Of each kind of refusal the first small file goes into
// the corpus. A reader whose library crashes must end its process with one sentence, and has processes of its own.

import Foundation
import TestSupport

/// No input is worth more memory.
func limitMemory() {
  // The address sanitizer takes terabytes of address space for itself.
  if ProcessInfo.processInfo.environment["ASAN_OPTIONS"] != nil { return }
  var limit = rlimit(rlim_cur: 2 << 30, rlim_max: 2 << 30)
  setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
}

/// Reads files in processes of many files each; one that the library crashed at is passed over.
func fuzz(
  _ reader: Reader, crashing library: String, _ count: Int, _ seed: UInt64, in folder: String
) throws {
  let files = try reader.files(folder)
  var mutator = Mutator(seed: seed)
  var (readCount, crashCount) = (0, 0)
  for first in stride(from: 0, to: count, by: 100) {
    var paths: [String] = []
    for index in 0..<min(100, count - first) {
      paths.append("\(folder)/\(index).\(reader.fileExtension)")
      try Data(mutator.mutate(files)).write(to: URL(filePath: paths[index]))
    }
    while !paths.isEmpty {
      let outcome = try Launch.run(
        [CommandLine.arguments[0], "--files"] + paths, seconds: 300)
      let answers = outcome.output.split(separator: "\n").count { $0.hasPrefix(folder) }
      readCount += outcome.output.split(separator: "\n").count { $0.hasSuffix(": read") }
      paths.removeFirst(answers)
      if outcome.status == 0 && paths.isEmpty { break }
      guard outcome.status == 65, let broken = paths.first, outcome.errors.contains(broken),
        outcome.errors.contains("is damaged: \(library) crashed or came to no end")
      else {
        if let broken = paths.first { rename(broken, "\(folder)/input.\(reader.fileExtension)") }
        FileHandle.standardError.write(Data("status \(outcome.status)\n\(outcome.errors)".utf8))
        exit(1)
      }
      crashCount += 1
      paths.removeFirst()
    }
  }
  print(
    "\(reader.name): \(count) files, \(readCount) of them read; \(library) crashed at \(crashCount), in one sentence"
  )
}

let arguments = CommandLine.arguments.dropFirst()
if arguments.first == "--files" {
  limitMemory()
  for path in arguments.dropFirst() {
    // The folder that a file lies in says whose it is.
    let name = URL(filePath: path).deletingLastPathComponent().lastPathComponent
    guard let reader = Reader.all.first(where: { $0.name == name }) else {
      fatalError("No reader is named '\(name)'")
    }
    alarm(reader.crashingLibrary == nil ? 10 : 100)
    do {
      try reader.read(path)
      print("\(path): read")
    } catch {
      print("\(path): \(error)")
    }
    // The next file may end the process without it.
    fflush(nil)
  }
  exit(0)
}
guard (4...5).contains(arguments.count),
  let reader = Reader.all.first(where: { $0.name == arguments[1] }),
  let count = Int(arguments[2]), let seed = UInt64(arguments[3])
else {
  print(
    "usage: fuzz-readers READER COUNT SEED FOLDER [CORPUS]; readers: "
      + Reader.all.map(\.name).joined(separator: " "))
  exit(64)
}
let folder = arguments[4]
let corpus = arguments.count == 5 ? arguments[5] : nil
let files = try reader.files(folder)
for file in files {
  let path = "\(folder)/valid.\(reader.fileExtension)"
  try Data(file).write(to: URL(filePath: path))
  do { try reader.read(path) } catch { fatalError("A valid file was refused: \(error)") }
}
limitMemory()
var mutator = Mutator(seed: seed)
var readCount = 0
var kinds: Set<String> = []
let path = "\(folder)/input.\(reader.fileExtension)"
if let library = reader.crashingLibrary {
  try fuzz(reader, crashing: library, count, seed, in: folder)
  exit(0)
}
for _ in 0..<count {
  let bytes = mutator.mutate(files)
  // In place: creating a file takes longer than reading it.
  let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
  _ = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
  close(descriptor)
  alarm(10)
  do {
    try reader.read(path)
    readCount += 1
  } catch {
    let sentence = "\(error)"
    if sentence.isEmpty { fatalError("An error without a word") }
    // Without what is quoted, the first words are the kind of refusal.
    let words = sentence.replacing(/'[^']*'/, with: "").split { !$0.isASCII || !$0.isLetter }
    if kinds.insert(words.prefix(4).joined(separator: " ")).inserted, let corpus,
      bytes.count <= 4096
    {
      let name = "\(corpus)/\(kinds.count).\(reader.fileExtension)"
      try Data(bytes).write(to: URL(filePath: name))
    }
  }
}
alarm(0)
print(
  "\(reader.name): \(count) files, \(readCount) of them read, the others refused for \(kinds.count) reasons"
)
