// swift-tools-version: 6.2
import PackageDescription

/// Every target of ours: Swift 6 mode, the upcoming features on, every warning an error.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

/// Where memory is reached by hand, each place has to say `unsafe`.
let memorySafe = settings + [.strictMemorySafety()]

let package = Package(
    name: "daypass",
    products: [
        .executable(name: "daypass", targets: ["DaypassCommand"]),
        .executable(name: "daypassd", targets: ["DaypassServer"]),
    ],
    // exact: versions, since Package.resolved is not committed.
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", exact: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", exact: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", exact: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
    ],
    targets: [
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CProcess"),
        .systemLibrary(name: "CSQLite"),
        .target(name: "OpenSSL", dependencies: ["COpenSSL"], swiftSettings: memorySafe),
        .target(name: "JOSE", dependencies: ["OpenSSL"], swiftSettings: memorySafe),
        .target(name: "SPIFFE", dependencies: ["JOSE", "OpenSSL"], swiftSettings: memorySafe),
        .target(
            name: "Broker",
            dependencies: ["OpenSSL", "JOSE", "SPIFFE", .product(name: "Logging", package: "swift-log")],
            swiftSettings: memorySafe
        ),
        .target(
            name: "BrokerConfigurationYAML",
            dependencies: ["Broker", "JOSE", "OpenSSL", "SPIFFE", .product(name: "Yams", package: "Yams")],
            // Resources/ links to config/: `daypassd init` writes these files where there are none.
            resources: [
                .embedInCode("Resources/daypass.yaml"), .embedInCode("Resources/issuers"),
                .embedInCode("Resources/rules"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "BrokerSQLite",
            dependencies: [
                "Broker", "CSQLite", "JOSE", "SPIFFE",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "BrokerHTTP",
            dependencies: [
                "Broker", "CertificateNames", "JOSE", "OpenSSL", "SPIFFE",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "BrokerTesting",
            dependencies: [
                "Broker", "JOSE", "OpenSSL", "SPIFFE",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Sources/BrokerTesting",
            swiftSettings: settings
        ),
        .executableTarget(
            name: "DaypassServer",
            dependencies: [
                "Broker", "BrokerConfigurationYAML", "BrokerHTTP", "BrokerSQLite", "CProcess", "JOSE", "OpenSSL",
                "SPIFFE",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .target(
            name: "CertificateNames",
            dependencies: [
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: settings
        ),
        // The command of administrators: neither OpenSSL, nor SQLite, nor any part of the server.
        .target(
            name: "BrokerClient",
            dependencies: [
                "CertificateNames",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOTLS", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "DaypassCommand",
            dependencies: [
                "BrokerClient", "CProcess",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .testTarget(name: "OpenSSLTests", dependencies: ["OpenSSL", "VectorFiles"], swiftSettings: settings),
        .testTarget(name: "JOSETests", dependencies: ["JOSE", "OpenSSL", "VectorFiles"], swiftSettings: settings),
        .testTarget(
            name: "SPIFFETests", dependencies: ["BrokerTesting", "JOSE", "OpenSSL", "SPIFFE", "VectorFiles"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "BrokerTests",
            dependencies: [
                "Broker", "BrokerTesting", "JOSE", "OpenSSL", "SPIFFE", "VectorFiles",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "BrokerConfigurationYAMLTests",
            dependencies: ["Broker", "BrokerConfigurationYAML", "BrokerTesting", "JOSE", "SPIFFE"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "BrokerSQLiteTests",
            dependencies: [
                "Broker", "BrokerSQLite", "BrokerTesting", "JOSE", "SPIFFE",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "BrokerHTTPTests",
            dependencies: [
                "Broker", "BrokerHTTP", "BrokerTesting", "JOSE", "OpenSSL", "SPIFFE",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "BrokerClientTests", dependencies: ["BrokerClient", "BrokerTesting", "CertificateNames"],
            swiftSettings: settings),
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "Broker", "BrokerHTTP", "BrokerSQLite", "BrokerTesting", "DaypassCommand", "DaypassServer", "JOSE",
                "OpenSSL", "RotationLoop", "SPIFFE",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        // What a test kills at random moments.
        .executableTarget(
            name: "RotationLoop",
            dependencies: [
                "Broker", "BrokerSQLite", "JOSE", "OpenSSL", .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/Programs/RotationLoop",
            swiftSettings: settings
        ),
        .target(name: "VectorFiles", path: "Tests/VectorFiles", swiftSettings: settings),
    ]
)

// libFuzzer's targets, which only build with -sanitize=fuzzer: Tests/Fuzz/run.sh
if Context.environment["DAYPASS_FUZZ"] != nil {
    package.targets += [
        .target(name: "CFuzzer", path: "Tests/Fuzz/CFuzzer"),
        .executableTarget(
            name: "Fuzz",
            dependencies: [
                "Broker", "BrokerClient", "BrokerConfigurationYAML", "CFuzzer", "JOSE", "OpenSSL", "SPIFFE",
            ],
            path: "Tests/Fuzz/Fuzz",
            swiftSettings: settings
        ),
    ]
}

// Present only when asked for: the scripts audit-search, audit-verify, exchange, handshakes, overload, remembered,
// revocation and verification in Tests/Benchmarks run them.
if Context.environment["DAYPASS_BENCHMARKS"] != nil {
    package.targets += [
        .executableTarget(
            name: "ExchangeSteps",
            dependencies: [
                "Broker", "BrokerSQLite", "BrokerTesting", "JOSE", .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/Benchmarks/ExchangeSteps",
            swiftSettings: settings),
        .executableTarget(
            name: "AuditSteps",
            dependencies: [
                "Broker", "BrokerSQLite", "BrokerTesting", "JOSE", .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/Benchmarks/AuditSteps",
            swiftSettings: settings),
        .executableTarget(
            name: "RevocationSteps",
            dependencies: [
                "Broker", "BrokerSQLite", "BrokerTesting", "JOSE", .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/Benchmarks/RevocationSteps",
            swiftSettings: settings),
        .executableTarget(
            name: "VerificationSteps",
            dependencies: [
                "Broker", "BrokerSQLite", "BrokerTesting", "JOSE", "OpenSSL",
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/Benchmarks/VerificationSteps",
            swiftSettings: settings),
        .executableTarget(
            name: "AuditSearchSteps",
            dependencies: ["Broker", "BrokerSQLite", "JOSE", .product(name: "Logging", package: "swift-log")],
            path: "Tests/Benchmarks/AuditSearchSteps",
            swiftSettings: settings),
        .executableTarget(
            name: "HandshakeLoad",
            dependencies: [
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            path: "Tests/Benchmarks/HandshakeLoad",
            swiftSettings: settings),
        .executableTarget(name: "OverloadLoad", path: "Tests/Benchmarks/OverloadLoad", swiftSettings: settings),
    ]
}
