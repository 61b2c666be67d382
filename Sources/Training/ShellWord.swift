/// A word as a shell takes it: in quotes where it needs them.
public func shellQuoted(_ word: String) -> String {
  let isPlain = word.unicodeScalars.allSatisfy {
    $0.properties.isAlphabetic || ("0"..."9").contains($0)
      || "-_./,:=+@%".unicodeScalars.contains($0)
  }
  if isPlain && !word.isEmpty { return word }
  let isSafe = !word.contains { "\"$`\\!".contains($0) }
  return isSafe ? "\"\(word)\"" : "'\(word.replacing("'", with: "'\\''"))'"
}
