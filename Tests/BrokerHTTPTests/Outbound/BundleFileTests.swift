import Broker
import BrokerTesting
import Foundation
import JOSE
import Logging
import SPIFFE
import ServiceLifecycle
import Testing

@testable import BrokerHTTP

@Suite struct `The file of a trust bundle` {
    private let folder: TemporaryFolder
    private let path: String

    init() throws {
        folder = try TemporaryFolder()
        path = folder.path + "/bundle.json"
    }

    private func write(_ text: String, atomically: Bool = false) throws {
        try Data(text.utf8).write(to: URL(filePath: path), options: atomically ? .atomic : [])
    }

    /// Looks until the file has settled.
    private func settled(_ file: inout BundleFile) -> BundleFile.Look {
        let first = file.look()
        return first == .settling ? file.look() : first
    }

    @Test func `counts at the second look that finds it the same, and then not again`() throws {
        try write("one")
        var file = BundleFile(path: path)
        #expect(file.look() == .settling)
        #expect(file.look() == .changed(Array("one".utf8)))
        #expect(file.look() == .unchanged)
    }

    @Test func `that is written in place is not read between two writes`() throws {
        try write("one")
        var file = BundleFile(path: path)
        #expect(settled(&file) == .changed(Array("one".utf8)))
        try write("")
        #expect(file.look() == .settling)
        try write("the whole of it")
        #expect(file.look() == .settling)
        #expect(file.look() == .changed(Array("the whole of it".utf8)))
    }

    @Test func `that never settles is a failure after half a minute, and read when it does`() throws {
        try write("one")
        var file = BundleFile(path: path)
        #expect(settled(&file) == .changed(Array("one".utf8)))
        for number in 1..<30 {
            try write("\(number)")
            #expect(file.look() == .settling)
        }
        try write("another")
        #expect(file.look() == .failed("it changes all the time"))
        #expect(file.look() == .changed(Array("another".utf8)))
        try write("one more")
        #expect(file.look() == .settling)
    }

    @Test func `that is replaced by another of the same length is read again`() throws {
        try write("one")
        var file = BundleFile(path: path)
        #expect(settled(&file) == .changed(Array("one".utf8)))
        try write("two", atomically: true)
        #expect(settled(&file) == .changed(Array("two".utf8)))
    }

    @Test func `that is missing, a folder, a pipe or too long fails in words and is read when it is there again`()
        throws
    {
        var file = BundleFile(path: path)
        #expect(file.look() == .failed("there is no such file"))
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        #expect(file.look() == .failed("it is not a regular file"))
        try FileManager.default.removeItem(atPath: path)
        #expect(mkfifo(path, 0o600) == 0)
        #expect(file.look() == .failed("it is not a regular file"))
        try FileManager.default.removeItem(atPath: path)
        try write(String(repeating: "a", count: (1 << 20) + 1))
        #expect(settled(&file) == .failed("it is too large"))
        try write("one")
        #expect(settled(&file) == .changed(Array("one".utf8)))
        try FileManager.default.removeItem(atPath: path)
        #expect(file.look() == .failed("there is no such file"))
        try write("one")
        #expect(settled(&file) == .changed(Array("one".utf8)))
    }
}

@Suite struct `Bundles that come from files` {
    private let folder: TemporaryFolder
    private let domain: TestTrustDomain
    private let bundles: TrustBundles
    private let configuration: TrustDomainConfiguration
    private let clock = ManualClock()
    private let log = LogRecorder()

    init() throws {
        folder = try TemporaryFolder()
        domain = try TestTrustDomain()
        var configuration = try domain.configuration()
        configuration.bundle = .file(try domain.bundle, path: folder.path + "/bundle.json")
        self.configuration = configuration
        bundles = TrustBundles([configuration], clock: clock)
        try write(domain.bundleJSON)
    }

    /// Runs the reader for as many looks as there are steps, each done before its look; two looks let a file settle.
    private func looking(_ steps: [@Sendable () throws -> Void]) async throws {
        let (pauses, pause) = AsyncStream<Void>.makeStream()
        let (goes, go) = AsyncStream<Void>.makeStream()
        let reader = BundleFileReader([configuration], bundles: bundles, logger: log.logger) { _ in
            pause.yield()
            for await _ in goes { return }
            throw CancellationError()
        }
        let group = ServiceGroup(configuration: .init(services: [.init(service: reader)], logger: log.logger))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            var paused = pauses.makeAsyncIterator()
            await paused.next()
            for step in steps {
                try step()
                for _ in 0..<2 {
                    go.yield()
                    await paused.next()
                }
            }
            await group.triggerGracefulShutdown()
            go.finish()
            for try await _ in tasks {}
        }
    }

    private func write(_ bytes: [UInt8]) throws {
        try Data(bytes).write(to: URL(filePath: folder.path + "/bundle.json"), options: .atomic)
    }

    private var status: TrustBundles.Status { bundles.statuses[0] }

    @Test func `change with their file, also to nothing`() async throws {
        let next = try TestCA("next", id: "spiffe://prod.example.com")
        let (domain, bundles) = (domain, bundles)
        try await looking([
            { try write(TestTrustDomain.json(authorities: [domain.ca, next], signers: [domain.signer])) },
            {
                #expect(bundles.current[domain.name]?.authorities.count == 2)
                try write(Array(#"{"keys": []}"#.utf8))
            },
        ])
        #expect(bundles.current[domain.name]?.isEmpty == true)
        #expect(!status.isUsable && status.changeCount == 2 && status.failureCount == 0)
        #expect(log.messages.contains("a trust bundle trusts nobody: every SVID of its domain is refused"))
    }

    @Test func `stay as they were while their file is missing or damaged, and say since when`() async throws {
        let (domain, bundles, clock) = (domain, bundles, clock)
        try await looking([
            { try write(Array("damaged".utf8)) },
            {
                #expect(bundles.statuses[0].lastError == "the bundle is not made of PEM blocks")
                clock.advance(by: .seconds(60))
                try FileManager.default.removeItem(atPath: folder.path + "/bundle.json")
            },
            {
                let status = bundles.statuses[0]
                #expect(status.lastError == "there is no such file" && status.isUsable)
                #expect(status.failingSince == ManualClock().now)
                #expect(bundles.current[domain.name]?.authorities.count == 1)
                try write(domain.bundleJSON)
            },
        ])
        #expect(status.lastError == nil && status.failingSince == nil && status.changeCount == 0)
        #expect(status.failureCount >= 3)
        let warnings = log.messages.filter { $0 == "a trust bundle cannot be read: the last good one stays" }
        #expect(warnings.count == 2)
    }
}
