/// Everything that is wrong with a configuration, in the order of its files and lines.
package struct ConfigurationErrors: Error, Sendable, Equatable, CustomStringConvertible {
    /// More than these are counted, not kept.
    package static let maximumCount = 50

    /// Never empty.
    package let errors: [ConfigurationError]
    /// How many more there are.
    package let omitted: Int

    /// A line for each error.
    package var description: String {
        let lines = errors.map(\.description)
        return (omitted > 0 ? lines + ["and \(omitted) more"] : lines).joined(separator: "\n")
    }
}

/// One thing that is wrong, where it stands, and what was expected there.
package struct ConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
    package let place: Place
    package let text: String

    /// `FILE:LINE:COLUMN: TEXT`
    package var description: String { "\(place): \(text)" }
}

/// Something that is accepted and worth a warning.
package struct ConfigurationNote: Sendable, Hashable, CustomStringConvertible {
    package let place: Place
    package let text: String

    package var description: String { "\(place): \(text)" }
}

/// A character of a file; lines and columns (in Unicode scalars) count from 1. Line 0 is the file as a whole.
package struct Place: Sendable, Hashable, CustomStringConvertible {
    package let file: String
    package let line: Int
    package let column: Int

    package init(file: String, line: Int = 0, column: Int = 0) {
        self.file = file
        self.line = line
        self.column = column
    }

    package var description: String {
        line == 0 ? file.readable(limit: 1024) : "\(file.readable(limit: 1024)):\(line):\(column)"
    }
}
