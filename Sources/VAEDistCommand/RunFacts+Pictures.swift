import DataLoading
import Foundation
import Inference
import Reporting
import Training

// What a model makes, as pictures.

extension RunFacts.Model {
  /// What a label is called, or its number.
  func name(ofLabel label: Int) -> String {
    DataNames.name(label, of: labelNames)
  }

  /// A picture, by the name that it has in files and events.
  struct Shown {
    let name: String
    let caption: String
    let picture: Picture
  }

  // So many pixels of tiles at most, that a page stays a page.
  private static let mostPixels = 1_200_000

  /// Samples, reconstructions, and traversals or the manifold; none where examples are no images.
  var pictures: [Shown] {
    guard let tile else { return [] }
    let range = shades ?? Self.range(of: portrait.originals)
    func picture(_ values: [Float], columns: Int) -> Picture {
      let pixels = tile.height * tile.width
      let tiles = min(values.count / pixels / tile.channels, Self.mostPixels / pixels)
      let rows = max(1, tiles / columns)
      return Picture(
        Array(values.prefix(rows * columns * pixels * tile.channels)), tile: tile,
        columns: columns, range: range)
    }
    let size = saved.inputs
    let pairs = stride(from: 0, to: portrait.originals.count, by: 10 * size).flatMap {
      let row = $0..<min($0 + 10 * size, portrait.originals.count)
      return Array(portrait.originals[row]) + Array(portrait.reconstructions[row])
    }
    let latents = portrait.pathLatents.map { "z\(subscripted($0))" }
    let classes = saved.configuration.classes ?? 0
    let ofClass = classes > 0 ? " Of class \(saved.names.labels.first ?? "0")." : ""
    let reconstructions = Shown(
      name: "reconstructions",
      caption: "Test examples, and below each row what the decoder makes of their posterior means",
      picture: picture(pairs, columns: 10))
    return [
      Shown(
        name: "samples",
        caption: "Samples: E[x|z], z ~ p(z)"
          + (classes > 0 ? ", of one class after the other" : ""),
        picture: picture(portrait.samples, columns: 10))
    ] + (pairs.isEmpty ? [] : [reconstructions]) + [
      Shown(
        name: latents.isEmpty ? "manifold" : "traversals",
        caption: latents.isEmpty
          ? "Manifold: E[x|z] over the plane of latents, the unit square through the Gaussian inverse distribution function.\(ofClass)"
          : "Traversals: one latent a row from −3 to 3, the others 0; from above"
            + (portrait.exampleCount > 0 ? ", by their KL divergence: " : ": ")
            + "\(latents.joined(separator: ", ")).\(ofClass)",
        picture: picture(portrait.paths, columns: portrait.pathColumns))
    ]
  }

  private static func range(of values: [Float]) -> ClosedRange<Float> {
    guard let low = values.min(), let high = values.max(), low < high else { return 0...1 }
    return low...high
  }
}

/// 12 as ₁₂.
func subscripted(_ number: Int) -> String {
  String(
    String(number).unicodeScalars.compactMap { Unicode.Scalar($0.value - 48 + 0x2080) }
      .map(Character.init))
}
