import BrokerTesting
import Foundation
import Synchronization

/// A folder of a test's own, with what its programs read and write.
final class Workspace: Sendable {
    let folder: URL
    private let temporary: TemporaryFolder

    init() throws {
        temporary = try TemporaryFolder()
        folder = URL(filePath: temporary.path, directoryHint: .isDirectory)
    }

    func path(_ name: String) -> String {
        folder.appending(path: name).path(percentEncoded: false)
    }

    func write(_ name: String, _ contents: some Sequence<UInt8>) throws {
        let file = folder.appending(path: name)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(contents).write(to: file)
    }

    func write(_ name: String, _ text: String) throws {
        try write(name, text.utf8)
    }

    /// Has the configuration that `daypassd init` wrote listen at ports of its own.
    /// - Returns: the public one and that of telemetry.
    @discardableResult func moveListeners() throws -> (public: Int, telemetry: Int) {
        let shipped = try String(contentsOfFile: path("config/daypass.yaml"), encoding: .utf8)
        let ports = try (Self.freePort(), Self.freePort())
        try write(
            "config/daypass.yaml",
            shipped.replacing(":8080", with: ":\(ports.0)").replacing(":9464", with: ":\(ports.1)"))
        return ports
    }

    /// A port of 127.0.0.1 that nothing listens on and that no other test is given. It is below those that the kernel
    /// hands out by itself, so that no connection takes it meanwhile.
    static func freePort() throws -> Int {
        for _ in 0..<2000 {
            let port = nextPort.withLock { next in
                next = next < 31_999 ? next + 1 : 12_000
                return next
            }
            if isFree(port) { return port }
        }
        throw TimedOut(description: "no free port")
    }

    private static let nextPort = Mutex(12_000 + Int.random(in: 0..<19_000))

    /// Whether something accepts connections at this port of 127.0.0.1.
    static func isListening(_ port: Int) -> Bool {
        apply(connect, to: port)
    }

    private static func isFree(_ port: Int) -> Bool {
        apply(bind, to: port)
    }

    private static func apply(
        _ call: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32, to port: Int
    ) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = UInt16(port).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                call(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
