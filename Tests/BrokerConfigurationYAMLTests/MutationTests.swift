import Broker
import BrokerConfigurationYAML
import Testing

/// A small generator with a seed, so that a failure can be repeated.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

@Suite struct `Damaged configurations` {
    private static let pieces: [[UInt8]] = [
        "&a ", "*a", "!x ", "|\n", ">-\n", "? ", ": ", "- ", "[", "]", "{", "}", "'", "\"", "#", "\t", "\n", "\n  ",
        "---\n", "...\n", "%", "<<", "\\x41", "\u{0}", "\u{FEFF}", "é", "~", "0x", "1e9", "/", "**", "${A}", "@", "`",
    ].map { Array($0.utf8) }

    /// One to four pieces cut out, doubled, put in or bytes changed.
    private static func mutated(_ bytes: [UInt8], using generator: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0...Int.random(in: 0...3, using: &generator) {
            let start = Int.random(in: 0..<bytes.count, using: &generator)
            let end = min(bytes.count, start + Int.random(in: 1...40, using: &generator))
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: bytes.removeSubrange(start..<min(end, bytes.count - 1))
            case 1: bytes.insert(contentsOf: bytes[start..<end], at: Int.random(in: 0...bytes.count, using: &generator))
            case 2: bytes.insert(contentsOf: pieces.randomElement(using: &generator) ?? [], at: start)
            default: bytes[start] = UInt8.random(in: 0...255, using: &generator)
            }
        }
        return bytes
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `whatever stands in a file, it is read or its errors name a place in it`(seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        let main = try #require(ShippedConfiguration.files.first { $0.path == "daypass.yaml" }).contents
        let rules = try #require(ShippedConfiguration.files.first { $0.path == "rules/ci.yaml" }).contents
        let sources = [SampleConfiguration.with(), main + rules]
        for round in 0..<100 {
            let bytes = Self.mutated(sources[round % 2], using: &generator)
            do {
                let reading = try ConfigurationReader.read(yaml: bytes, name: "input.yaml")
                #expect(!reading.configuration.tokens.audiences.isEmpty)
            } catch {
                #expect(!error.errors.isEmpty)
                #expect(error.errors.allSatisfy { $0.place.file == "input.yaml" })
                #expect(!error.description.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" })
            }
        }
    }

    @Test(arguments: [
        "a: ", "- ", "\"", "'", "# ", "a\n", "? a\n", "a: 1\n", "- a\n", ": ", "[]\n", "a: |\n", "  ", "\n", "x ", "\\",
        "a: \"\\u0041", "%TAG ! a\n", "--- \n", "{a: 1}, ", "\t", "a,", "!<a> ",
    ])
    func `a mebibyte of one piece ends with an error`(piece: String) {
        let yaml = String(repeating: piece, count: (1 << 20) / piece.utf8.count)
        let errors = #expect(throws: ConfigurationErrors.self) {
            try ConfigurationReader.read(yaml: Array(yaml.utf8), name: "input.yaml")
        }
        #expect(errors?.errors.isEmpty == false)
    }
}
