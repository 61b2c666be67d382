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

// So that a rank that is stuck can say in which functions.
let namesOfFunctions = LinkerSetting.unsafeFlags(["-Xlinker", "--export-dynamic"])

let argumentParser: Target.Dependency = .product(
  name: "ArgumentParser", package: "swift-argument-parser")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

let package = Package(
  name: "vae-dist",
  products: [
    .executable(name: "vae-dist", targets: ["vae-dist"])
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
      name: "CLibdeflate", pkgConfig: "libdeflate", providers: [.apt(["libdeflate-dev"])]),
    .systemLibrary(
      name: "CLibcrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CLibpng", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
    .systemLibrary(name: "CLibzip", pkgConfig: "libzip", providers: [.apt(["libzip-dev"])]),
    .systemLibrary(name: "CHDF5", pkgConfig: "hdf5", providers: [.apt(["libhdf5-dev"])]),
    .systemLibrary(
      name: "CTurboJPEG", pkgConfig: "libturbojpeg", providers: [.apt(["libturbojpeg0-dev"])]),
    .target(name: "CCollectives", dependencies: ["COpenMPI"], cSettings: cSettings),
    .target(name: "CCrashes", cSettings: cSettings),
    .target(name: "CKernels", cSettings: cSettings),

    // MARK: Level 1, arithmetic, ranks, digests
    .target(
      name: "TensorKernels", dependencies: ["CKernels", "COneDNN"],
      exclude: ["README.md"], swiftSettings: swiftSettings),
    .target(
      name: "Collectives", dependencies: ["CCollectives"], exclude: ["README.md"],
      swiftSettings: swiftSettings),

    .target(
      name: "Digests", dependencies: ["CLibcrypto"], exclude: ["README.md"],
      swiftSettings: swiftSettings),

    // MARK: Level 2, layers, data, files
    .target(
      name: "Layers", dependencies: ["TensorKernels"], exclude: ["README.md"],
      swiftSettings: swiftSettings),
    .target(
      name: "DataLoading",
      dependencies: [
        "TensorKernels", "Digests", "CZlib", "CLibdeflate", "CLibzip", "CHDF5", "CLibpng",
        "CTurboJPEG", "CCrashes",
      ],
      exclude: ["README.md"],
      resources: [
        .embedInCode("Resources/digits.zlib"), .embedInCode("Resources/digits-labels.zlib"),
      ],
      swiftSettings: swiftSettings),
    .target(
      name: "Checkpointing", dependencies: ["Digests"], exclude: ["README.md"],
      swiftSettings: swiftSettings),

    .target(
      name: "Reporting", dependencies: ["Checkpointing", "CLibpng", "CLibzip"],
      exclude: ["README.md"], swiftSettings: swiftSettings),

    // MARK: Level 3, the objective
    .target(
      name: "VAEObjective", dependencies: ["Layers", "TensorKernels"],
      exclude: ["README.md"], swiftSettings: swiftSettings),

    // MARK: Level 4, the loop
    .target(
      name: "Training",
      dependencies: [
        "VAEObjective", "Layers", "TensorKernels", "DataLoading", "Checkpointing", "Collectives",
        "Digests",
      ],
      exclude: ["README.md"], swiftSettings: swiftSettings),

    .target(
      name: "Inference",
      dependencies: [
        "Training", "VAEObjective", "TensorKernels", "DataLoading", "Checkpointing",
        "Collectives",
      ],
      exclude: ["README.md"], swiftSettings: swiftSettings),

    .target(
      name: "Exporting",
      dependencies: [
        "Training", "VAEObjective", "Layers", "TensorKernels", "Checkpointing", "Reporting",
      ],
      exclude: ["README.md"], swiftSettings: swiftSettings),

    // MARK: Level 5, the command
    .target(
      name: "VAEDistCommand",
      dependencies: [
        "Inference", "Exporting", "Reporting", "Training", "VAEObjective", "DataLoading",
        "Checkpointing", "Collectives", "Digests",
        argumentParser, yams,
      ],
      exclude: ["README.md"],
      resources: [
        .embedInCode("Presets/aevb-fig2.csv"), .embedInCode("Presets/aevb-fig2-mnist.yaml"),
        .embedInCode("Presets/aevb-fig2-frey-face.yaml"), .embedInCode("Presets/iwae-table1.yaml"),
      ], swiftSettings: swiftSettings),
    // Apart, so that other programs can use the commands.
    .executableTarget(
      name: "vae-dist", dependencies: ["VAEDistCommand"], path: "Sources/Program",
      exclude: ["README.md"],
      swiftSettings: swiftSettings, linkerSettings: [namesOfFunctions]),

    // MARK: Tests
    .target(
      name: "TestSupport", dependencies: ["VAEObjective", "Layers", "TensorKernels"],
      path: "Tests/TestSupport"),
    .executableTarget(
      name: "rank-program", dependencies: ["Collectives"], path: "Tests/RankProgram",
      linkerSettings: [namesOfFunctions]),
    .executableTarget(
      name: "fuzz-readers",
      dependencies: [
        "VAEDistCommand", "DataLoading", "Checkpointing", "Reporting", "Training", "TensorKernels",
        "TestSupport",
      ], path: "Tests/Fuzz", exclude: ["Corpus", "run"]),
    .target(
      name: "VectorMathProbe", path: "Tests/VectorMathProbe",
      cSettings: cSettings + [.headerSearchPath("../../Sources/CKernels")]),
    .testTarget(
      name: "TensorKernelsTests",
      dependencies: ["TensorKernels", "CKernels", "VectorMathProbe", "TestSupport"]),
    .testTarget(
      name: "CollectivesTests", dependencies: ["Collectives", "rank-program", "TestSupport"]),
    .testTarget(name: "LayersTests", dependencies: ["Layers", "TensorKernels", "TestSupport"]),
    .testTarget(
      name: "DataLoadingTests", dependencies: ["DataLoading", "TensorKernels", "TestSupport"]),
    .testTarget(name: "CheckpointingTests", dependencies: ["Checkpointing", "TestSupport"]),
    .testTarget(
      name: "VAEObjectiveTests",
      dependencies: ["VAEObjective", "Layers", "TensorKernels", "Checkpointing", "TestSupport"]),
    .testTarget(
      name: "TrainingTests",
      dependencies: [
        "Training", "VAEObjective", "TensorKernels", "DataLoading", "Checkpointing", "Collectives",
        "TestSupport",
      ]),
    .testTarget(name: "InferenceTests", dependencies: ["Inference", "TestSupport"]),
    .testTarget(
      name: "MultiRankTests",
      dependencies: [
        "vae-dist", "DataLoading", "Checkpointing", "Training", "TensorKernels", "TestSupport",
      ]),
    .testTarget(
      name: "EndToEndTests",
      dependencies: [
        "vae-dist", "fuzz-readers", "VAEDistCommand", "Checkpointing", "Training", "TestSupport",
      ]),
  ],
  swiftLanguageModes: [.v6]
)
