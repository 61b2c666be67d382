// swift-tools-version: 6.2
import PackageDescription

// Modules import only from lower levels, and only what their row names; `launch/check-imports`
// holds the sources to this table.

let cSettings: [CSetting] = [.treatAllWarnings(as: .error)]
let swiftSettings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
]

let argumentParser: Target.Dependency = .product(
  name: "ArgumentParser", package: "swift-argument-parser")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

let package = Package(
  name: "vae-dist",
  products: [
    .executable(name: "vae-dist", targets: ["VAEDistCommand"])
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // MARK: Level 0, C
    .systemLibrary(name: "COpenMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
    .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(
      name: "CLibcrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .target(name: "CCollectives", dependencies: ["COpenMPI"], cSettings: cSettings),
    .target(name: "CKernels", cSettings: cSettings),

    // MARK: Level 1, arithmetic, ranks, digests
    .target(
      name: "TensorKernels", dependencies: ["CKernels", "COneDNN"],
      swiftSettings: swiftSettings),
    .target(name: "Collectives", dependencies: ["CCollectives"], swiftSettings: swiftSettings),

    .target(name: "Digests", dependencies: ["CLibcrypto"], swiftSettings: swiftSettings),

    // MARK: Level 2, layers, data, files
    .target(name: "Layers", dependencies: ["TensorKernels"], swiftSettings: swiftSettings),
    .target(
      name: "DataLoading", dependencies: ["TensorKernels", "Digests", "CZlib"],
      resources: [.embedInCode("Resources/digits.zlib")],
      swiftSettings: swiftSettings),
    .target(name: "Checkpointing", dependencies: ["Digests"], swiftSettings: swiftSettings),

    // MARK: Level 3, the objective
    .target(
      name: "VAEObjective", dependencies: ["Layers", "TensorKernels"],
      swiftSettings: swiftSettings),

    // MARK: Level 4, the loop
    .target(
      name: "Training",
      dependencies: [
        "VAEObjective", "Layers", "TensorKernels", "DataLoading", "Checkpointing", "Collectives",
        "Digests",
      ],
      swiftSettings: swiftSettings),

    // MARK: Level 5, the command
    .executableTarget(
      name: "VAEDistCommand",
      dependencies: [
        "Training", "VAEObjective", "DataLoading", "Checkpointing", "Collectives",
        argumentParser, yams,
      ],
      swiftSettings: swiftSettings),
  ],
  swiftLanguageModes: [.v6]
)
