import Foundation
import Testing

/// What is in the memory of another process, as root sees it.
enum ProcessMemory {
    /// Counts how often texts, in hexadecimal digits, stand in the memory of a process.
    private static let searching = """
        import sys
        pid, needles = sys.argv[1], [bytes.fromhex(n) for n in sys.argv[2:]]
        found = [0] * len(needles)
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                span, rights = line.split()[:2]
                if "r" not in rights or "[v" in line: continue
                start, end = (int(x, 16) for x in span.split("-"))
                try:
                    memory.seek(start)
                    data = memory.read(end - start)
                except OSError:
                    continue
                for index, needle in enumerate(needles): found[index] += data.count(needle)
        print(*found)
        """

    /// How often the secret stands in the memory of the broker, all but its beginning, which many have.
    static func count(_ secret: String, in broker: RunningBroker) async throws -> Int {
        let known = Array("exchanges_per_second_per_address".utf8)
        let found = try await RunningProcess(
            try #require(Programs.python),
            ["-c", searching, "\(broker.process.id)"]
                + [Array(secret.utf8.dropFirst(13)), known].map { $0.map { String(format: "%02x", $0) }.joined() }
        ).outcome()
        let counts = found.output.split(separator: "\n").last?.split(separator: " ").compactMap { Int($0) } ?? []
        try #require(counts.count == 2 && counts[1] > 0, "the search found nothing at all: \(found.error)")
        return counts[0]
    }
}
