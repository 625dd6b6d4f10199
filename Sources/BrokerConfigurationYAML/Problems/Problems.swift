/// What the reading of one configuration has found so far. Used by one task at a time.
final class Problems {
    private var errors: [ConfigurationError] = []
    private var omitted = 0
    private var foundNotes: [ConfigurationNote] = []
    private var fileOrder: [String: Int] = [:]

    /// Errors are listed in the order in which their files were begun.
    func begin(file: String) {
        if fileOrder[file] == nil { fileOrder[file] = fileOrder.count }
    }

    func add(_ place: Place, _ text: String) {
        guard errors.count < ConfigurationErrors.maximumCount else {
            omitted += 1
            return
        }
        let error = ConfigurationError(place: place, text: text)
        if !errors.contains(error) { errors.append(error) }
    }

    func note(_ place: Place, _ text: String) {
        foundNotes.append(ConfigurationNote(place: place, text: text))
    }

    /// In the order of their files and lines; more than 50 are counted, not listed.
    var notes: [ConfigurationNote] {
        let sorted = foundNotes.sorted { position($0.place) < position($1.place) }
        guard sorted.count > ConfigurationErrors.maximumCount else { return sorted }
        let rest = sorted.count - ConfigurationErrors.maximumCount
        return sorted.prefix(ConfigurationErrors.maximumCount)
            + [ConfigurationNote(place: Place(file: sorted[0].place.file), text: "and \(rest) more warnings")]
    }

    /// Nil while there is no error.
    var failure: ConfigurationErrors? {
        guard !errors.isEmpty else { return nil }
        return ConfigurationErrors(
            errors: errors.sorted { position($0.place) < position($1.place) }, omitted: omitted)
    }

    private func position(_ place: Place) -> (Int, Int, Int) {
        (fileOrder[place.file] ?? .max, place.line, place.column)
    }
}
