SELECT max(ReceivedAt) AS Arrived FROM observations WHERE $window
