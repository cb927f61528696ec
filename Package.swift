// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("ImmutableWeakCaptures"),
    .treatAllWarnings(as: .error),
    // Every state has one thread at a time, and debug builds check that no access to it overlaps another. Checked at
    // run time in a release, it would cost a third of a message. scripts/release.sh says the same to other packages.
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

/// The two floors that see bytes off the network first also say aloud where memory is touched unsafely.
let strictSettings = settings + [.strictMemorySafety()]

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioWebSocket = Target.Dependency.product(name: "NIOWebSocket", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let x509 = Target.Dependency.product(name: "X509", package: "swift-certificates")
let asn1 = Target.Dependency.product(name: "SwiftASN1", package: "swift-asn1")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")

let package = Package(
    name: "drawbridge",
    platforms: [.macOS(.v26)],
    products: [.executable(name: "drawbridge", targets: ["drawbridge"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.30.0"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.10.0"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.3.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.0.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ],
    targets: [
        // Floor 0: bytes <-> packets.
        .target(name: "MQTTCodec", dependencies: [nioCore], swiftSettings: strictSettings),
        // Floor 1: the broker as a function.
        .target(name: "BrokerCore", dependencies: ["MQTTCodec", nioCore, deque, heap], swiftSettings: strictSettings),
        // Floor 2: the durable queue.
        .target(
            name: "Spool",
            dependencies: [
                "BrokerCore", "MQTTCodec", nioCore, deque, .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ],
            swiftSettings: settings
        ),
        // Floor 3: sockets, threads, files; and a whole site in one thread, from a seed.
        // What files look like from outside.
        .target(name: "FileStatus", swiftSettings: settings),
        // Certificates: made, and read.
        .target(
            name: "Certificates",
            dependencies: [x509, asn1, crypto, cryptoExtras],
            swiftSettings: settings
        ),
        // Compression of WebSocket messages: the system's zlib.
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .target(
            name: "BrokerServer",
            dependencies: [
                "BrokerCore", "MQTTCodec", "Spool", "WebPages", nioCore, nioPosix, nioHTTP1, nioWebSocket, nioTLS,
                nioSSL, crypto, cryptoExtras, "Certificates", "FileStatus", "CZlib", deque, logging,
                .product(name: "TOMLKit", package: "TOMLKit"),
            ],
            swiftSettings: settings
        ),
        // Load for brokers, ours and others.
        .target(
            name: "BrokerBench",
            dependencies: ["BrokerServer", "MQTTCodec", nioCore, nioPosix],
            swiftSettings: settings
        ),
        .target(
            name: "BrokerSimulation",
            dependencies: ["BrokerCore", "MQTTCodec", nioCore, deque],
            swiftSettings: settings
        ),
        // The pages of the web port, compiled in.
        .target(
            name: "WebPages",
            path: "web",
            exclude: ["README.md", "package.json", "mqtt/mqtt.test.js", "mqtt/testing.js"],
            sources: ["WebPages.swift"],
            resources: [
                .embedInCode("chat/index.html"),
                .embedInCode("chat/chat.js"),
                .embedInCode("chat/chat.css"),
                .embedInCode("chat/favicon.svg"),
                .embedInCode("mqtt/mqtt.js"),
            ],
            swiftSettings: settings
        ),
        // Floor 4: the command line.
        .executableTarget(
            name: "drawbridge",
            dependencies: [
                "BrokerServer", "BrokerBench", "BrokerSimulation", "Certificates", "Spool", nioCore, logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings
        ),

        // For developers: guards what the path of a message allocates.
        .target(name: "CAllocationCounter"),
        .executableTarget(
            name: "HotPathBenchmarks",
            dependencies: ["BrokerServer", "BrokerCore", "MQTTCodec", "CAllocationCounter", nioCore, logging],
            exclude: ["Thresholds"],
            swiftSettings: settings
        ),

        .target(
            name: "TestSupport",
            dependencies: ["BrokerCore", "MQTTCodec", nioCore],
            path: "Tests/TestSupport",
            swiftSettings: settings
        ),
        .testTarget(
            name: "MQTTCodecTests",
            dependencies: ["MQTTCodec", "TestSupport", nioCore],
            swiftSettings: settings
        ),
        .testTarget(
            name: "BrokerCoreTests",
            dependencies: ["BrokerCore", "MQTTCodec", "TestSupport", nioCore],
            swiftSettings: settings
        ),
        .testTarget(
            name: "SpoolTests",
            dependencies: [
                "Spool", "BrokerCore", "MQTTCodec", "TestSupport", nioCore,
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "BrokerServerTests",
            dependencies: [
                "BrokerServer", "BrokerCore", "Certificates", "MQTTCodec", "Spool", "TestSupport", nioCore, nioPosix,
                nioHTTP1, nioEmbedded, nioSSL, logging,
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "BrokerBenchTests",
            dependencies: ["BrokerBench", "BrokerServer", "MQTTCodec", "TestSupport", nioCore, nioPosix],
            swiftSettings: settings
        ),
        .testTarget(
            name: "CertificatesTests",
            dependencies: ["Certificates", x509, asn1, crypto],
            swiftSettings: settings
        ),
        .testTarget(
            name: "BrokerSimulationTests",
            dependencies: ["BrokerSimulation", "BrokerCore", "MQTTCodec", "TestSupport"],
            swiftSettings: settings
        ),
        .testTarget(name: "TidyTests", exclude: ["Resources"], swiftSettings: settings),
    ]
)
