import Broker
import BrokerHTTP
import Foundation

/// What the program that started this one, such as systemd, opened for it: listening sockets, from descriptor 3 on, each
/// under the name of its listener (sd_listen_fds(3)).
enum Activation {
    /// The first of them; standard input, output and error are before it.
    static let firstDescriptor: Int32 = 3

    /// One listener each.
    private enum Name: String, CaseIterable {
        case `public`, telemetry, admin

        var kind: ListeningSocket.Kind { self == .admin ? .unix : .tcp }
    }

    /// - Parameters:
    ///   - environment: of this process.
    ///   - processID: its own: sockets that were meant for another, whose environment it inherited, are not its.
    ///   - first: the number of the first descriptor.
    /// - Returns: none where none were opened for it.
    /// - Throws: where one is not for a listener of ours, or is no socket that such a listener can use: a broker that listens
    ///   elsewhere than its administrator believes is worse than none.
    static func sockets(
        in environment: [String: String], processID: Int32 = getpid(), from first: Int32 = firstDescriptor
    ) throws(CommandFailure) -> ListeningSockets {
        var sockets = ListeningSockets()
        guard let id = environment["LISTEN_PID"], let text = environment["LISTEN_FDS"], id == "\(processID)" else {
            return sockets
        }
        guard let count = Int32(text), count >= 0, count <= Name.allCases.count else {
            throw failure("LISTEN_FDS=\(text): expected at most \(Name.allCases.count) sockets, \(known)")
        }
        for descriptor in first..<(first + count) { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        let names = (environment["LISTEN_FDNAMES"] ?? "").split(separator: ":", omittingEmptySubsequences: false)
        guard count == 0 || names.count == count else {
            throw failure("LISTEN_FDNAMES has \(names.count) names for \(count) sockets: expected \(known)")
        }
        for (descriptor, text) in zip(first..<(first + count), names) {
            guard let name = Name(rawValue: String(text)) else {
                throw failure("there is no listener \(String(reflecting: String(text))): expected \(known)")
            }
            let socket: ListeningSocket
            do {
                socket = try ListeningSocket(descriptor: descriptor)
            } catch {
                throw failure("the socket \(name.rawValue): \(error)")
            }
            guard socket.kind == name.kind else {
                throw failure(
                    "the socket \(name.rawValue): descriptor \(descriptor) is \(socket.kind.rawValue); expected "
                        + name.kind.rawValue)
            }
            guard sockets[name.rawValue] == nil else {
                throw failure("there are two sockets \(name.rawValue), and one listener")
            }
            sockets[name.rawValue] = socket
        }
        return sockets
    }

    /// - Throws: where the configuration would not allow what the sockets are.
    static func check(
        _ sockets: ListeningSockets, against configuration: BrokerConfiguration
    ) throws(CommandFailure) {
        if let address = sockets.public?.address, configuration.server.publicTLS == nil, !address.isLoopback {
            throw failure(
                "the socket public listens on \(address): expected a loopback address, since there is no "
                    + "server.public.tls: a proxy on the same host has to terminate TLS")
        }
        if sockets.admin != nil, configuration.server.administration == nil {
            throw failure("there is a socket admin, and no server.admin")
        }
    }

    private static let known =
        "FileDescriptorName= of each to be another of " + Name.allCases.map(\.rawValue).joined(separator: ", ")

    private static func failure(_ words: String) -> CommandFailure {
        CommandFailure("socket activation: \(words)")
    }
}

extension ListeningSockets {
    fileprivate subscript(name: String) -> ListeningSocket? {
        get {
            switch name {
            case "public": self.public
            case "telemetry": telemetry
            default: admin
            }
        }
        set {
            switch name {
            case "public": self.public = newValue
            case "telemetry": telemetry = newValue
            default: admin = newValue
            }
        }
    }
}
