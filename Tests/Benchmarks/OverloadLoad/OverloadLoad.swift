import Foundation

/// So many requests a second, whatever becomes of those before: on one thread, over many connections of eight networks, with
/// one request at a time on each.
///
/// Usage: OverloadLoad PORT verify|exchange RATE SECONDS CONNECTIONS TOKENS [SAVED]
///
/// TOKENS is a file with one on each line; they are sent in turn. A RATE of 0 sends the next request as soon as a connection
/// is free. SAVED gets the gateway tokens that were granted. Prints JSON: answers 200, 503 and others, how many each a second,
/// and milliseconds from the moment at which a request was due, so that what could not even be sent counts.
@main struct OverloadLoad {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 7, let port = UInt16(arguments[1]), let rate = Double(arguments[3]),
            let seconds = Double(arguments[4]), let connections = Int(arguments[5])
        else { fatalError("Usage: OverloadLoad PORT verify|exchange RATE SECONDS CONNECTIONS TOKENS [SAVED]") }
        let tokens = try String(contentsOfFile: arguments[6], encoding: .utf8).split(separator: "\n")
        let load = Load(
            requests: tokens.map { arguments[2] == "verify" ? question($0) : exchange($0) }, port: port,
            ending: arguments[2] == "verify" ? "\r\n\r\n" : "}", saves: arguments.count > 7)
        (0..<connections).forEach { _ in load.connect() }
        load.run(rate: rate, seconds: seconds)
        print(load.report)
        if arguments.count > 7 {
            try load.saved.joined(separator: "\n").write(toFile: arguments[7], atomically: false, encoding: .utf8)
        }
    }

    private static func question(_ token: Substring) -> [UInt8] {
        Array(
            """
            GET /verify HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer \(token)\r
            Daypass-Require-Scope: anthropic:messages\r\n\r\n
            """.utf8)
    }

    private static func exchange(_ token: Substring) -> [UInt8] {
        let body =
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token_type="
            + "urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&subject_token=\(token)"
        return Array(
            """
            POST /oauth/token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r
            Content-Length: \(body.utf8.count)\r\n\r\n\(body)
            """.utf8)
    }
}

private final class Load {
    private struct Connection {
        /// In nanoseconds of the monotonic clock; nil while nothing is under way.
        var due: UInt64?
        var input: [UInt8] = []
    }

    private let requests: [[UInt8]]
    private let port: UInt16
    /// What an answer ends with, and no part of one.
    private let ending: [UInt8]
    private let saves: Bool
    private var connections: [Connection] = []
    /// Their descriptors.
    private var sockets: [pollfd] = []
    /// Those on which nothing is under way, the one first that has been free for longest.
    private var free: [Int] = []
    private var firstFree = 0
    private var sent = 0
    private var start: UInt64 = 0
    private var end: UInt64 = 0
    /// Microseconds, of 200 and of 503.
    private var admitted: [UInt32] = []
    private var shed: [UInt32] = []
    private var others: [Int: Int] = [:]
    private(set) var saved: [String] = []
    private var buffer = [UInt8](repeating: 0, count: 64 * 1024)

    init(requests: [[UInt8]], port: UInt16, ending: String, saves: Bool) {
        (self.requests, self.port, self.ending, self.saves) = (requests, port, Array(ending.utf8), saves)
    }

    func connect() {
        sockets.append(pollfd(fd: open(connections.count), events: Int16(POLLIN), revents: 0))
        connections.append(Connection())
        free.append(connections.count - 1)
    }

    private func open(_ index: Int) -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var source = Self.address("127.\(index % 8 + 1).0.1", 0)
        var target = Self.address("127.0.0.1", port)
        let length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isOpen = withUnsafeMutablePointer(to: &source) { source in
            withUnsafeMutablePointer(to: &target) { target in
                source.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) } == 0
                    && target.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        Glibc.connect(descriptor, $0, length)
                    } == 0
            }
        }
        guard isOpen else { fatalError("cannot connect: \(String(cString: strerror(errno)))") }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        return descriptor
    }

    private static func address(_ host: String, _ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr(host)
        address.sin_port = port.bigEndian
        return address
    }

    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    func run(rate: Double, seconds: Double) {
        start = Self.now()
        let stop = start + UInt64(seconds * 1e9)
        let interval = rate > 0 ? 1e9 / rate : 0
        while true {
            let now = Self.now()
            while firstFree < free.count, now < stop {
                let due = rate > 0 ? start + UInt64(Double(sent) * interval) : now
                guard due <= now else { break }
                send(due)
            }
            if now >= stop, connections.allSatisfy({ $0.due == nil }) || now > stop + 5_000_000_000 { break }
            poll(&sockets, nfds_t(sockets.count), rate > 0 && now < stop ? 0 : 1)
            for index in sockets.indices where sockets[index].revents != 0 { receive(index) }
        }
        end = stop
        others[0] = connections.filter { $0.due != nil }.count
    }

    private func send(_ due: UInt64) {
        let index = free[firstFree]
        firstFree += 1
        if firstFree > 100_000 {
            free.removeFirst(firstFree)
            firstFree = 0
        }
        connections[index].due = due
        let request = requests[sent % requests.count]
        sent += 1
        let count = Glibc.send(sockets[index].fd, request, request.count, Int32(MSG_NOSIGNAL))
        if count != request.count { lost(index) }
    }

    private func receive(_ index: Int) {
        let count = recv(sockets[index].fd, &buffer, buffer.count, 0)
        guard count > 0 else {
            if count == 0 || errno != EAGAIN { lost(index) }
            return
        }
        connections[index].input += buffer[..<count]
        let input = connections[index].input
        guard input.count > 16, input.suffix(ending.count).elementsEqual(ending) else { return }
        let status = input[9..<12].reduce(0) { $0 * 10 + Int($1) - 48 }
        if let due = connections[index].due {
            let time = UInt32(clamping: (Self.now() - due) / 1000)
            switch status {
            case 200: admitted.append(time)
            case 503: shed.append(time)
            default: others[status, default: 0] += 1
            }
        }
        if saves, status == 200, saved.count < 20_000 { save(input) }
        connections[index].input = []
        connections[index].due = nil
        free.append(index)
    }

    /// The connection ended with a request under way.
    private func lost(_ index: Int) {
        close(sockets[index].fd)
        if connections[index].due != nil { others[-1, default: 0] += 1 }
        sockets[index].fd = open(index)
        connections[index] = Connection()
        free.append(index)
    }

    private func save(_ bytes: [UInt8]) {
        guard let start = bytes.firstRange(of: Array(#""access_token":""#.utf8)) else { return }
        saved.append(String(decoding: bytes[start.upperBound...].prefix { $0 != UInt8(ascii: "\"") }, as: UTF8.self))
    }

    var report: String {
        let seconds = Double(end - start) / 1e9
        func part(_ name: String, _ times: [UInt32]) -> String {
            let sorted = times.sorted()
            func quantile(_ share: Double) -> Double {
                sorted.isEmpty ? 0 : Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]) / 1000
            }
            return """
                "\(name)": {"count": \(times.count), "rate": \(Double(times.count) / seconds), "p50": \(quantile(0.5)), \
                "p99": \(quantile(0.99)), "most": \(quantile(1))}
                """
        }
        let rest = others.filter { $0.value > 0 }.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", ")
        return "{\(part("admitted", admitted)), \(part("shed", shed)), \"others\": {\(rest)}}"
    }
}
