import Broker
import BrokerConfigurationYAML

/// A small sound configuration, to be spoilt line by line.
enum SampleConfiguration {
    static let lines = [
        /* 1 */ "server:",
        /* 2 */
        #"  public: {listen: "127.0.0.1:8080", url: "https://daypass.example.com", trusted_proxies: ["127.0.0.1"]}"#,
        /* 3 */ "tokens: {audiences: [\"https://gateway.example.com\", other]}",
        /* 4 */ "store: {sqlite: data/daypass.db}",
        /* 5 */ "master_key_file: data/master.key",
        /* 6 */ "issuers:",
        /* 7 */ "  - name: corp",
        /* 8 */ "    issuer: https://login.example.com",
        /* 9 */ "rules:",
        /* 10 */ "  - name: team",
        /* 11 */ "    issuer: corp",
        /* 12 */ "    match: {groups: platform}",
        /* 13 */ "    grant: {scope: [anthropic:messages], ttl: 15m}",
    ]

    /// With the given lines, counted from 1, in place of its own.
    static func with(_ replacements: [Int: String] = [:]) -> [UInt8] {
        let text = lines.enumerated().map { replacements[$0 + 1] ?? $1 }.joined(separator: "\n")
        return Array((text + "\n").utf8)
    }

    static func read(
        _ replacements: [Int: String] = [:], files: [String: [UInt8]] = [:]
    ) throws -> ConfigurationReader.Reading {
        try read(with(replacements), files: files)
    }

    static func read(_ yaml: [UInt8], files: [String: [UInt8]] = [:]) throws -> ConfigurationReader.Reading {
        let all = files.merging(["config/daypass.yaml": yaml]) { $1 }
        return try ConfigurationReader(files: FilesInMemory(all)).read(path: "config/daypass.yaml")
    }

    /// The lines of what is wrong, without the main file's path and its colon; none when nothing is.
    static func errors(_ yaml: [UInt8], files: [String: [UInt8]] = [:]) -> [String] {
        do {
            _ = try read(yaml, files: files)
            return []
        } catch let errors as ConfigurationErrors {
            let prefix = "config/daypass.yaml:"
            return errors.description.split(separator: "\n").map {
                $0.hasPrefix(prefix) ? String($0.dropFirst(prefix.count)) : String($0)
            }
        } catch {
            return ["\(error)"]
        }
    }

    static func errors(_ replacements: [Int: String], files: [String: [UInt8]] = [:]) -> [String] {
        errors(with(replacements), files: files)
    }

    /// The first pattern of the first claim that the rule tests, with this written as its value.
    static func pattern(_ value: String) throws -> ClaimMatcher.Pattern? {
        try read([12: "    match: {groups: \(value)}"]).configuration.rules.rules.first?.matchers.first?.anyOf.first
    }
}

/// One line of the sample replaced, and what is then said.
struct Refusal: CustomStringConvertible, Sendable {
    let lines: [Int: String]
    let error: String

    init(_ line: Int, _ text: String, _ error: String) {
        lines = [line: text]
        self.error = error
    }

    var description: String { "\(lines) → \(error)" }
}
