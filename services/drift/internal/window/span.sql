SELECT min(RecordId) AS First, max(RecordId) AS Last FROM observations WHERE $window
