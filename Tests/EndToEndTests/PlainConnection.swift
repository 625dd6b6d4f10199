import BrokerTesting
import Foundation
import JOSE
import Testing

/// A TCP connection to a port of 127.0.0.1, on which a test writes what it likes and from which it reads answers.
final class PlainConnection {
    struct Answer: CustomStringConvertible, Sendable {
        let status: Int
        /// Names in lower case.
        let headers: [(name: String, value: String)]
        let body: [UInt8]

        func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

        var description: String { "\(status) \(headers) \(String(decoding: body, as: UTF8.self))" }
    }

    struct Ended: Error {}

    /// Sends these bytes on a connection of their own, and reads so many answers, or those that come before its end.
    ///
    /// On a thread of its own: it waits there, and the tests' own threads are few.
    /// - Parameter source: the client's own address.
    static func exchange(
        _ bytes: [UInt8], port: Int, from source: String = "127.0.0.1", count: Int = 1, toHead: Bool = false
    ) async throws -> [Answer] {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(
                    with: Result {
                        let connection = try PlainConnection(port: port, from: source)
                        try connection.write(bytes)
                        var answers: [Answer] = []
                        while answers.count < count, let answer = try? connection.answer(toHead: toHead) {
                            answers.append(answer)
                        }
                        return answers
                    })
            }
        }
    }

    /// The one answer to a request.
    static func answer(_ bytes: [UInt8], port: Int, from source: String = "127.0.0.1", toHead: Bool = false)
        async throws -> Answer
    {
        guard let answer = try await exchange(bytes, port: port, from: source, toHead: toHead).first else {
            throw Ended()
        }
        return answer
    }

    private let descriptor: Int32
    private var received: [UInt8] = []

    private init(port: Int, from source: String) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var patience = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        try #require(apply(bind, source, 0) == 0)
        guard apply(connect, "127.0.0.1", port) == 0 else { throw Ended() }
    }

    deinit {
        close(descriptor)
    }

    private func apply(
        _ call: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32, _ host: String, _ port: Int
    ) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr(host)
        address.sin_port = UInt16(port).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                call(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    private func write(_ bytes: [UInt8]) throws {
        var left = ArraySlice(bytes)
        while !left.isEmpty {
            let count = left.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw Ended() }
            left = left.dropFirst(count)
        }
    }

    /// The next answer; its body ends by its length, its last chunk, or with the connection.
    private func answer(toHead: Bool) throws -> Answer {
        var head = ""
        while true {
            if let end = received.firstRange(of: Array("\r\n\r\n".utf8)) {
                head = String(decoding: received[..<end.lowerBound], as: UTF8.self)
                received.removeFirst(end.upperBound)
                break
            }
            try read()
        }
        let lines = head.components(separatedBy: "\r\n")
        let status = try #require(lines[0].split(separator: " ").dropFirst().first.flatMap { Int($0) }, "\(head)")
        let headers = lines.dropFirst().map { line in
            let parts = line.split(separator: ":", maxSplits: 1)
            return (
                name: parts[0].lowercased(), value: parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
            )
        }
        var answer = Answer(status: status, headers: headers, body: [])
        guard !toHead, status != 204, status != 304 else { return answer }
        if let length = answer.header("content-length").flatMap({ Int($0) }) {
            answer = Answer(status: status, headers: headers, body: try take(length))
        } else if answer.header("transfer-encoding") != nil {
            var body: [UInt8] = []
            while true {
                let size = try #require(Int(try line().prefix { $0.isHexDigit }, radix: 16))
                body += try take(size)
                _ = try line()
                if size == 0 { break }
            }
            answer = Answer(status: status, headers: headers, body: body)
        } else {
            while (try? read()) != nil {}
            answer = Answer(status: status, headers: headers, body: received)
            received = []
        }
        return answer
    }

    private func line() throws -> String {
        while true {
            if let end = received.firstRange(of: Array("\r\n".utf8)) {
                let line = String(decoding: received[..<end.lowerBound], as: UTF8.self)
                received.removeFirst(end.upperBound)
                return line
            }
            try read()
        }
    }

    private func take(_ count: Int) throws -> [UInt8] {
        while received.count < count { try read() }
        defer { received.removeFirst(count) }
        return Array(received.prefix(count))
    }

    private func read() throws {
        var chunk = [UInt8](repeating: 0, count: 64 * 1024)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        guard count > 0 else { throw Ended() }
        received += chunk.prefix(count)
    }
}
