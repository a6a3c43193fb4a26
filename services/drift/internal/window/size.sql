SELECT toInt64(toUnixTimestamp(Minute)) DIV 60 AS Window, count() AS Rows FROM observations WHERE $window GROUP BY Minute ORDER BY Minute
