/// A timestamp as people write it, in UTC: "2026-11-21 08:46:53".
struct CivilTime {
    let text: String

    init(_ timestamp: Timestamp) {
        let seconds = Int64(clamping: timestamp.microseconds / 1_000_000)
        let (day, time) = (seconds / 86_400, seconds % 86_400)
        // Years are counted from March, so that the leap day is the last of its year; 719,468 days lie between the
        // first of March of year 0 and 1970, and 146,097 in each 400 years.
        let days = day + 719_468
        let era = days / 146_097
        let dayOfEra = days % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0)
        let dayOfMonth = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        text =
            "\(year)-\(two(month))-\(two(dayOfMonth)) \(two(time / 3_600)):\(two(time / 60 % 60)):\(two(time % 60))"
    }
}
